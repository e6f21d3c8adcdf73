"""The servers of one run: MinIO, the key server, and two gateways of one deployment, with TLS and without."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import time

from local_servers import free_port, minio_serves

from . import certificates

# How long a server may take until it serves, in seconds; long because the machine may be busy.
START_LIMIT = 60
REGION = "us-east-1"
# Below this host, the first label is a bucket. Names in `localhost` never leave the machine (RFC 6761).
BASE_DOMAIN = "s3.localhost"
KEY = "alias/sealgate-clients"


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A server and credentials for it."""

    url: str
    access_key_id: str
    secret_access_key: str
    ca_file: pathlib.Path | None = None

    @property
    def authority(self):
        """Host and port."""
        return self.url.split("://", 1)[1]

    @property
    def secure(self):
        """Whether it is reached by https."""
        return self.url.startswith("https://")


class Servers:
    """Starts all of them in a directory, and ends them."""

    def __init__(self, directory):
        self.directory = directory
        self._processes = []
        self.data = directory / "minio"

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def refusals(self, transport, prefix):
        """What a gateway's log says of the requests for buckets of one session that did not succeed, the last ones."""
        log = (self.directory / f"gateway-{transport}.log").read_text(errors="replace")
        lines = [line for line in log.splitlines() if prefix in line and not re.search(r" status=[23]\d\d\b", line)]
        return "\n".join(lines[-20:])

    def _start(self):
        files = certificates.make(self.directory, ["127.0.0.1", "localhost", BASE_DOMAIN, f"*.{BASE_DOMAIN}"])
        self.storage = self._start_minio()
        key_server = self._start_key_server()
        self.gateways = {
            "http": self._start_gateway("http", key_server, None),
            "https": self._start_gateway("https", key_server, files),
        }

    def _start_minio(self):
        endpoint = Endpoint(f"http://127.0.0.1:{free_port()}", "minio-root", "minio-root-secret")
        self.data.mkdir()
        console = f"127.0.0.1:{free_port()}"
        process = self._spawn(
            "minio",
            [os.environ["SEALGATE_MINIO"], "server", self.data, "--address", endpoint.authority]
            + ["--console-address", console],
            HOME=str(self.directory),
            MINIO_CI_CD="1",
            MINIO_BROWSER="off",
            MINIO_UPDATE="off",
            MINIO_DOMAIN=BASE_DOMAIN,
            MINIO_ROOT_USER=endpoint.access_key_id,
            MINIO_ROOT_PASSWORD=endpoint.secret_access_key,
        )

        self._wait("minio", process, lambda: minio_serves(endpoint.url))
        return endpoint

    def _start_key_server(self):
        secret = "a secret of the key server"
        url = self._start_our_own(
            "key-server",
            [own_program("sealgate-kms-mock"), "--listen", "127.0.0.1:0", "--create-alias", KEY]
            + ["--principal", "name=gateway,access-key-id=AKIAKEYSERVER,secret=env:KEY_SERVER_SECRET,operations=*"]
            + ["--state-dir", self.directory / "keys"],
            KEY_SERVER_SECRET=secret,
        )
        return Endpoint(url, "AKIAKEYSERVER", secret)

    def _start_gateway(self, transport, key_server, files):
        configuration = self.directory / f"gateway-{transport}.toml"
        tls = f"tls = {{ certificate = {quote(files.certificate)}, key = {quote(files.key)} }}" if files else ""
        access_key_id, secret = "SGCLIENT", "a-secret-of-the-client"
        configuration.write_text(
            f"""
deployment = "clients"

[listener]
address = "127.0.0.1:0"
base_domains = ["{BASE_DOMAIN}"]
{tls}

[upstream]
{describe(self.storage, "STORAGE_SECRET")}

[[key_service]]
type = "aws-kms"
key = "{KEY}"
{describe(key_server, "KEY_SERVER_SECRET")}

[[identity]]
name = "client"

[[identity.credential]]
access_key_id = "{access_key_id}"
secret_access_key = "env:CLIENT_SECRET"
"""
        )
        url = self._start_our_own(
            f"gateway-{transport}",
            [own_program("sealgate"), "serve", "--config", configuration],
            STORAGE_SECRET=self.storage.secret_access_key,
            KEY_SERVER_SECRET=key_server.secret_access_key,
            CLIENT_SECRET=secret,
        )
        return Endpoint(url, access_key_id, secret, files.ca_file if files else None)

    def _start_our_own(self, name, arguments, **environment):
        """Starts a program that prints `ready URL`, and returns that URL."""
        process = self._spawn(name, arguments, **environment)
        output = self.directory / f"{name}.out"

        def url():
            lines = output.read_text().splitlines()
            return next((line.split(" ", 1)[1] for line in lines if line.startswith("ready ")), None)

        return self._wait(name, process, url)

    def _spawn(self, name, arguments, **environment):
        log, output = self.directory / f"{name}.log", self.directory / f"{name}.out"
        with open(log, "wb") as errors, open(output, "wb") as lines:
            process = subprocess.Popen(
                [str(argument) for argument in arguments],
                # Nothing of the caller's own credentials or proxies.
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory), **environment},
                stdin=subprocess.DEVNULL,
                stdout=lines,
                stderr=errors,
                # A Ctrl-C reaches the frame alone, which then ends the servers in their order.
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def _wait(self, name, process, look):
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and process.poll() is None:
            found = look()
            if found:
                return found
            time.sleep(0.05)
        words = (self.directory / f"{name}.log").read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{name} does not become ready; its last words:\n{words}")


def own_program(name):
    """One of the workspace's programs, as `./test` built them."""
    directory = os.environ.get("SEALGATE_PROGRAMS")
    if not directory:
        repository = pathlib.Path(__file__).resolve().parent.parent.parent
        command = ["cargo", "metadata", "--format-version", "1", "--no-deps"]
        metadata = subprocess.run(command, cwd=repository, stdout=subprocess.PIPE, check=True).stdout
        directory = pathlib.Path(json.loads(metadata)["target_directory"], "debug")
    program = pathlib.Path(directory, name)
    if not program.is_file():
        raise RuntimeError(f"{program} is missing; build it with `cargo build --workspace`, or run ./test --clients")
    return program


def describe(endpoint, secret):
    """The keys of a server in the gateway's configuration."""
    return (
        f'endpoint = "{endpoint.url}"\nregion = "{REGION}"\n'
        f'credentials = {{ access_key_id = "{endpoint.access_key_id}", secret_access_key = "env:{secret}" }}'
    )


def quote(path):
    """A path as a string of TOML, which escapes as JSON does."""
    return json.dumps(str(path))
