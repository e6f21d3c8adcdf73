"""What the audit log and the policy cost: CPU of the gateway for each request, and the time that the durable intent adds.

    python benches/audit/measure.py [--programs target/release] [--rounds 10] [--requests 4000] [--connections 1 8 32] [--large-rounds 6]

Starts an embedded store, a key server, an audit receiver, and two gateways of one deployment in a directory of its own: one as `sealgate init`
leaves it, one with [audit], a receiver over TLS, and policies where this version has them. Rounds alternate between the two, so that whatever
else the machine does meets both. Requests are presigned URLs over connections that stay open, the cheapest that a gateway is ever asked: beside
anything that an SDK sends, the share of the audit log is smaller. --tls: as SDKs ask, signed in headers with the SHA-256 of the body, over TLS
1.3 from the client and to the storage. CPU is the process's own clock (user and system, all threads).

"Kernel" is the share of that CPU which the kernel took: synchronous writes, wake-ups, sockets.

Prints Markdown tables. Exits 1 where 4 KiB requests cost more than --share of CPU more, or where the difference at 64 MiB is more than three
standard errors and more than a hundredth. Needs boto3, openssl, Linux, and 2 GB of disk.
"""

import argparse
import contextlib
import hashlib
import os
import pathlib
import secrets
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from servers import Servers

BUCKET = "audit-measurement"
SMALL, LARGE = 4 << 10, 64 << 20
STORE = {"AWS_ACCESS_KEY_ID": "store", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
KEYS = ("AKIAKEYSERVER", secrets.token_hex(16))
# What writes the log of a gateway.
LOG_THREAD = "audit-log"
# Bytes of the two records of a request here.
PAIR = 850
CLIENT = ("SGMEASURE", secrets.token_hex(16))


def cpu_seconds(pid):
    """The CPU clock of a process (clock_getcpuclockid(3)): nanoseconds, threads that have ended included."""
    return time.clock_gettime((~pid << 3) | 2)


def thread_seconds(pid, name):
    """The CPU clock of a process's thread of this name, in seconds; 0 where it has none."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    return 0.0


def bare_sync(place, records, count=300):
    """What making so many requests durable takes without anything else: writing an intent and an outcome of each over what a file held, and
    fdatasync(2). Returns the seconds that each took, and the CPU seconds of one: no log that syncs can cost less."""
    times, lines, length = [], b"x" * (PAIR * records), 2 << 20
    with open(place / "sync", "w+b", buffering=0) as file:
        file.write(bytes(length))
        os.fsync(file.fileno())
        cpu = time.thread_time()
        for number in range(count):
            started = time.perf_counter()
            os.pwrite(file.fileno(), lines, number * len(lines) % (length - len(lines)))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
        cpu = time.thread_time() - cpu
    return times, cpu / count


def file_system(place):
    """The type of the file system that a directory is on."""
    mounts = [line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    here = [mount for mount in mounts if pathlib.Path(mount[1]) in [place, *place.parents]]
    return max(here, key=lambda mount: len(mount[1]))[2]


def has_policies(program):
    return subprocess.run([program, "policy", "--help"], capture_output=True).returncode == 0


def configuration(store, key_server, more):
    is_tls = store.startswith("https:")
    return f"""deployment = "measurement"
[listener]
address = "127.0.0.1:0"
{'tls = { certificate = "certificate.pem", key = "key.pem" }' if is_tls else ""}
[upstream]
endpoint = "{store}"
region = "us-east-1"
{'ca_file = "ca.pem"' if is_tls else ""}
credentials = {{ access_key_id = "{STORE['AWS_ACCESS_KEY_ID']}", secret_access_key = "env:STORE_SECRET" }}
[[key_service]]
type = "aws-kms"
key = "alias/measurement"
region = "us-east-1"
endpoint = "{key_server}"
credentials = {{ access_key_id = "{KEYS[0]}", secret_access_key = "env:KEY_SECRET" }}
[[identity]]
name = "app"
[[identity.credential]]
access_key_id = "{CLIENT[0]}"
secret_access_key = "env:CLIENT_SECRET"
{more}"""


POLICY = f"""[policy]
[[policy.rule]]
id = "app"
identities = ["app"]
allow = ["reader", "writer", "operator"]
buckets = ["{BUCKET}"]
[[policy.rule]]
id = "sealed-drawer"
identities = ["*"]
deny = ["decrypt"]
prefixes = ["drawer/"]
[[policy.rule]]
id = "buckets"
identities = ["app"]
allow = ["admin"]
"""


def deployment(servers, policy, is_same, is_tls):
    """Starts everything. Returns the two gateways. `is_same`: neither has an audit log."""
    servers.certificates()
    program = servers.programs / "sealgate"
    log = servers.run(program, "audit", "keygen", "measurement/gateway", "--output", "audit.key").strip()
    public_key = servers.run(program, "audit", "keygen", "measurement/receiver", "--receiver", "--output", "receiver.key").strip()
    if is_tls:
        command = [servers.programs / "side-by-side-store", "--certificate", "certificate.pem", "--certificate-key", "key.pem"]
        _, store = servers.start("store", command).urls
    else:
        (store,) = servers.start("devstore", [servers.programs / "sealgate-devstore", "--dir", "store"], environment=STORE).urls
    command = [
        servers.programs / "sealgate-kms-mock", "--listen", "127.0.0.1:0", "--state-dir", "kms",
        "--principal", f"name=gateway,access-key-id={KEYS[0]},secret=env:KEY_SECRET,operations=*", "--create-alias", "alias/measurement",
    ]
    (key_server,) = servers.start("kms", command, environment={"KEY_SECRET": KEYS[1]}).urls
    command = [
        program, "audit", "receive", "--listen", "127.0.0.1:0", "--directory", "copies", "--key", "receiver.key", "--log", log,
        "--certificate", "certificate.pem", "--certificate-key", "key.pem", "--client-ca", "ca.pem",
    ]
    (receiver,) = servers.start("receiver", command).urls
    audit = f"""[audit]
directory = "audit"
key = "file:audit.key"
[audit.receiver]
endpoint = "{receiver}"
ca_file = "ca.pem"
client_certificate = {{ certificate = "certificate.pem", key = "key.pem" }}
public_key = "{public_key}"
"""
    if policy:
        audit += POLICY
    environment = {"STORE_SECRET": STORE["AWS_SECRET_ACCESS_KEY"], "KEY_SECRET": KEYS[1], "CLIENT_SECRET": CLIENT[1]}
    gateways = {}
    for name, more in (("off", ""), ("on", "" if is_same else audit)):
        (servers.place / f"{name}.toml").write_text(configuration(store, key_server, more))
        gateways[name] = servers.start(f"gateway-{name}", [program, "serve", "--config", f"{name}.toml"], environment=environment)
    return gateways


class Load:
    """Requests to one gateway, over connections that stay open: presigned, or over TLS and signed in headers."""

    def __init__(self, url, authority):
        self.url = urllib.parse.urlsplit(url)
        self.tls = ssl.create_default_context(cafile=authority) if self.url.scheme == "https" else None
        self.client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=CLIENT[0], aws_secret_access_key=CLIENT[1], verify=str(authority),
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
        )
        self.sockets = []

    def message(self, method, key, body=b""):
        length = f"content-length: {len(body)}\r\n" if method == "PUT" else ""
        if self.tls:
            request = AWSRequest(method, f"{self.url.geturl()}/{BUCKET}/{urllib.parse.quote(key)}", data=body)
            request.headers["x-amz-content-sha256"] = hashlib.sha256(body).hexdigest()
            S3SigV4Auth(Credentials(*CLIENT), "s3", "us-east-1").add_auth(request)
            target = urllib.parse.urlsplit(request.url).path
            headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        else:
            operation = {"GET": "get_object", "PUT": "put_object"}[method]
            url = urllib.parse.urlsplit(self.client.generate_presigned_url(operation, Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=86_400))
            target, headers = f"{url.path}?{url.query}", ""
        return f"{method} {target} HTTP/1.1\r\nhost: {self.url.netloc}\r\n{headers}{length}\r\n".encode() + body

    def connect(self, count):
        while len(self.sockets) < count:
            connection = socket.create_connection((self.url.hostname, self.url.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_hostname=self.url.hostname)
            self.sockets.append(connection)
        return self.sockets[:count]

    def send(self, messages, count, connections):
        """Sends `count` requests, the messages in turn. Returns how long each took, in seconds."""
        left, lock, times, failures = iter(range(count)), threading.Lock(), [], []

        def work(connection):
            buffer = bytearray(1 << 20)
            own = []
            with contextlib.suppress(StopIteration):
                while True:
                    with lock:
                        number = next(left)
                    started = time.perf_counter()
                    connection.sendall(messages[number % len(messages)])
                    answer(connection, buffer)
                    own.append(time.perf_counter() - started)
            with lock:
                times.extend(own)

        def guarded(connection):
            try:
                work(connection)
            except Exception as error:  # told by the caller
                failures.append(error)

        threads = [threading.Thread(target=guarded, args=(connection,)) for connection in self.connect(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # While the other gateway has its turn, this one would give them up.
        while self.sockets:
            self.sockets.pop().close()
        if failures:
            raise failures[0]
        return times


def answer(connection, buffer):
    """Reads one answer, which must be a 200, and forgets it."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(64 << 10)
        if not piece:
            raise RuntimeError(f"cut off: {head!r}")
        head += piece
    head, _, rest = head.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError((head + b"\n" + rest).decode(errors="replace"))
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n")[1:])
    length = next((int(value) for name, _, value in lines if name == b"content-length"), 0)
    left = length - len(rest)
    while left > 0:
        received = connection.recv_into(buffer, min(left, len(buffer)))
        if not received:
            raise RuntimeError("cut off")
        left -= received


def alternate(gateways, loads, messages, count, connections, rounds):
    """CPU seconds for each request of each round, all times, the kernel's share of the CPU, by gateway; and the CPU seconds of the thread that
    writes the log, for each request."""
    cpu, times = {"off": [], "on": []}, {"off": [], "on": []}
    pids = {name: gateway.process.pid for name, gateway in gateways.items()}
    writer = -thread_seconds(pids["on"], LOG_THREAD)
    kernel = {name: gateway.cpu() for name, gateway in gateways.items()}
    for number in range(rounds + 1):
        order = ("off", "on") if number % 2 == 0 else ("on", "off")
        for name in order:
            before = cpu_seconds(pids[name])
            took = loads[name].send(messages[name], count, connections)
            seconds = (cpu_seconds(pids[name]) - before) / count
            # The first round warms up: connections, keys in memory, files.
            if number > 0:
                cpu[name].append(seconds)
                times[name].extend(took)
    for name, before in kernel.items():
        user, system = (after - start for after, start in zip(gateways[name].cpu(), before))
        kernel[name] = system / max(1e-9, user + system)
    writer += thread_seconds(pids["on"], LOG_THREAD)
    return cpu, times, kernel, writer / (count * (rounds + 1))


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, default=pathlib.Path("target/release"))
    parser.add_argument("--directory", type=pathlib.Path, help="where everything is kept meanwhile: its disk is what is synced")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=4_000, help="of 4 KiB in each round")
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 8, 32], help="requests of 4 KiB at once; none: only large ones")
    parser.add_argument("--large-rounds", type=int, default=6)
    parser.add_argument("--large-requests", type=int, default=6, help="of 64 MiB in each round; 0: none")
    parser.add_argument("--without-policy", action="store_true", help="measure the audit log alone")
    parser.add_argument("--tls", action="store_true", help="as SDKs ask: over TLS, and signed in headers")
    parser.add_argument("--same", action="store_true", help="compare two gateways without audit log: what is found is no difference")
    parser.add_argument("--share", type=float, default=0.10)
    arguments = parser.parse_args()
    failures = []
    with (
        tempfile.TemporaryDirectory(dir=arguments.directory) as place,
        Servers(pathlib.Path(place), arguments.programs.resolve()) as servers,
    ):
        policy = has_policies(servers.programs / "sealgate") and not arguments.without_policy
        gateways = deployment(servers, policy, arguments.same, arguments.tls)
        loads = {name: Load(*gateway.urls, servers.place / "ca.pem") for name, gateway in gateways.items()}
        loads["off"].client.create_bucket(Bucket=BUCKET)
        bodies = {SMALL: os.urandom(SMALL), LARGE: os.urandom(LARGE)}
        kind = "audit log and policy" if policy else "audit log alone"
        print("on: as off\n" if arguments.same else f"on: {kind}\n")
        print(f"on {file_system(servers.place)}, where a bare sync takes\n")
        print("| requests in it | CPU of it | CPU for each | p50 | p99 |")
        print("|---|---|---|---|---|")
        for records in (1, 4, 8, 16, 32):
            took, seconds = bare_sync(servers.place, records)
            p50, p99 = (quantile(took, share) * 1e3 for share in (0.5, 0.99))
            print(f"| {records} | {seconds * 1e6:.0f} µs | {seconds / records * 1e6:.1f} µs | {p50:.2f} ms | {p99:.2f} ms |")
        print("\n| requests | at once | CPU off | CPU on | log's thread | difference | kernel off | kernel on |", end="")
        print(" p50 off | p50 on | p99 off | p99 on |")
        print("|---|---|---|---|---|---|---|---|---|---|---|---|")
        plan = [
            (SMALL, "4 KiB", connections, arguments.requests // (4 if connections == 1 else 1), arguments.rounds)
            for connections in arguments.connections
        ]
        if arguments.large_requests > 0:
            plan.append((LARGE, "64 MiB", 1, arguments.large_requests, arguments.large_rounds))
        for size, label, connections, count, rounds in plan:
            for method in ("PUT", "GET"):
                keys = range(1 if size == LARGE else 64)
                body = bodies[size] if method == "PUT" else b""
                messages = {
                    name: [load.message(method, f"{label}/{key}", body) for key in keys] for name, load in loads.items()
                }
                cpu, times, kernel, writer = alternate(gateways, loads, messages, count, connections, rounds)
                differences = [on / off - 1 for on, off in zip(cpu["on"], cpu["off"])]
                share, error = statistics.median(differences), 0.0
                if len(differences) > 1:
                    error = statistics.stdev(differences) / len(differences) ** 0.5
                off, on = (statistics.median(cpu[name]) * 1e6 for name in ("off", "on"))
                p50 = [quantile(times[name], 0.5) * 1e3 for name in ("off", "on")]
                p99 = [quantile(times[name], 0.99) * 1e3 for name in ("off", "on")]
                print(
                    f"| {method} {label} | {connections} | {off:.0f} µs | {on:.0f} µs | {writer * 1e6:.0f} µs | {share:+.1%} ± {error:.1%} | "
                    f"{kernel['off']:.0%} | {kernel['on']:.0%} | "
                    f"{p50[0]:.2f} ms | {p50[1]:.2f} ms | {p99[0]:.2f} ms | {p99[1]:.2f} ms |",
                    flush=True,
                )
                if size == SMALL and connections > 1 and share > arguments.share:
                    failures.append(f"{method} of 4 KiB costs {share:.1%} more CPU, over {arguments.share:.0%}")
                if size == LARGE and share > max(0.01, 3 * error):
                    failures.append(f"{method} of 64 MiB costs {share:.1%} more CPU, which is measurable")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
