"""The command line of tests/clients/run."""

import argparse
import concurrent.futures
import pathlib
import shutil
import signal
import sys
import tempfile
import time

from .cache import Cache, InstallError
from .catalogue import CLIENTS
from .checks import expect
from .inspection import Inspection
from .report import Report
from .servers import Servers
from .session import Commands, Session

DESCRIPTION = """\
Runs each real client against the gateway: installs it once into the cache, starts MinIO, the key server and two
gateways (http and https) as processes on free ports, does what the client's users do, and then checks that the storage
holds no plaintext and that listings show the right sizes. Prints one line for each client and step, then
"N passed, N failed". Ends everything that it started. A step that fails here but passes with --transport bare, at the
storage itself, is a defect of the gateway."""


def main():
    names = [client.name for client in CLIENTS]
    parser = argparse.ArgumentParser(
        prog="tests/clients/run",
        description=DESCRIPTION,
        epilog=f"Clients: {', '.join(names)}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", metavar="NAME", action="append", help="only this client; may be repeated")
    parser.add_argument("--transport", choices=["http", "https", "bare"], help="only over this; bare: at MinIO itself")
    parser.add_argument("--keep", action="store_true", help="keep the directory with the data, configurations and logs")
    parser.add_argument("--json", action="store_true", help="one JSON document a line")
    parser.add_argument("--jobs", type=int, default=2, help="how many sessions run at once; default 2")
    parser.add_argument("--install", action="store_true", help="only install the clients")
    options = parser.parse_args()
    for name in options.only or []:
        if name not in names:
            parser.error(f"there is no client {name}; there are {', '.join(names)}")
    chosen = [client for client in CLIENTS if not options.only or client.name in options.only]

    # A polite end still ends the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report(options.json)
    tools = install(chosen, report)
    if options.install or not tools:
        return report.finish()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="sealgate-clients-"))
    try:
        with Servers(directory) as servers:
            run_all(tools, servers, report, options)
    finally:
        if options.keep:
            report.note(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return report.finish()


def install(clients, report):
    """The clients that are there now, each with what its `install` returned."""
    cache = Cache()

    def install_one(client):
        started, tool, failure = time.monotonic(), None, None
        try:
            tool = client.install(cache)
        except InstallError as error:
            failure = str(error)
        report.add(client.name, f"installed, version {client.version}", failure, time.monotonic() - started)
        return client, tool, failure

    # Two at once: one downloads while another compiles.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = list(pool.map(install_one, clients))
    return [(client, tool) for client, tool, failure in done if failure is None]


def run_all(tools, servers, report, options):
    """Every session, some at once, and what is judged before and after."""
    judge(report, "docs/clients.md has every client with its version", check_documentation)
    inspection = Inspection(servers)
    judge(report, "plaintext at the storage would be found", inspection.show_that_plaintext_is_found)
    commands = Commands()
    sessions = [
        Session(client, tool, transport, servers, report, commands)
        for client, tool in tools
        for transport in (*client.transports, "bare")
        if transport == options.transport or (options.transport is None and transport != "bare")
    ]
    scenarios = {client.name: client.scenario for client, _ in tools}
    encrypting = {client.name: client.encrypts for client, _ in tools}

    def run(session):
        try:
            scenarios[session.client_name](session)
        except Exception as error:  # a scenario that breaks between its steps is a failure of the client
            session.add("the scenario runs to its end", f"{type(error).__name__}: {error}")
        if session.transport == "bare":
            inspection.check_bare(session, encrypting[session.client_name])
            return
        try:
            inspection.check(session)
        except Exception as error:
            session.add("what was left can be inspected", f"{type(error).__name__}: {error}")
        if session.failed:
            report.note(f"-- refused to {session.who}\n{servers.refusals(session.transport, session.prefix)}\n--")

    with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
        try:
            for done in [pool.submit(run, session) for session in sessions]:
                done.result()
        except BaseException:
            commands.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if options.transport != "bare":
        judge(report, "the storage's whole disk holds no plaintext", inspection.check_whole_disk)


def check_documentation():
    """Its table has a line for each client: name, and the version that was tried."""
    text = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "clients.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| [")]
    names = [row[1].split("]")[0].strip(" [").lower().replace(" ", "-") for row in rows]
    documented = set(zip(names, [row[2].split(",")[0].strip() for row in rows]))
    missing = {(client.name, client.version) for client in CLIENTS} - documented
    expect(not missing, f"its table lacks {missing}; it has {documented}")


def judge(report, step, check):
    """One step of the frame itself."""
    started, failure = time.monotonic(), None
    try:
        check()
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    report.add("all", step, failure, time.monotonic() - started)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
