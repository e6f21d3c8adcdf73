"""One client against one endpoint: what a scenario works with."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import signal
import subprocess
import threading
import time

from . import content
from .servers import BASE_DOMAIN, REGION

# The longest that one command of a client may take, in seconds, on a busy machine through a debug build.
COMMAND_LIMIT = 240
# What a failure shows of a client's own words.
TAIL = 2500


class Stopped(BaseException):
    """The run is being ended; no step may take this for its own failure."""


class Commands:
    """The clients' processes that run now, so that a run can be ended in the middle."""

    def __init__(self):
        self._lock = threading.Lock()
        self._running = set()
        self._stopped = False

    def start(self, command, **options):
        """As `subprocess.Popen`, in a process group of its own."""
        with self._lock:
            if self._stopped:
                raise Stopped
            process = subprocess.Popen(command, start_new_session=True, **options)
            self._running.add(process)
            return process

    def ended(self, process):
        """Forgets a process that has been waited for. Raises where it was ended with the run."""
        with self._lock:
            self._running.discard(process)
            if self._stopped:
                raise Stopped

    def stop(self):
        """Ends what runs, and lets nothing start any more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a bucket must hold under one key. The digest is None where the scenario knows only the size."""

    size: int
    sha256: str | None


class Session:
    """A client, an endpoint, a home, and the steps that are reported."""

    def __init__(self, client, tool, transport, servers, report, commands):
        self.client_name = client.name
        self.tool = tool
        self.transport = transport
        self.endpoint = servers.storage if transport == "bare" else servers.gateways[transport]
        self.region = REGION
        self.base_domain = BASE_DOMAIN
        self.directory = servers.directory / f"{client.name}-{transport}"
        self.directory.mkdir()
        self.canary = content.CANARY
        self.who = f"{client.name} {'at the bare storage' if transport == 'bare' else f'over {transport}'}"
        # Every bucket of the session begins so, whoever makes it.
        self.prefix = f"{client.name}-{transport}-"
        self.expected = {}
        self.failed = False
        self._report = report
        self._commands = commands

    def add(self, step, failure, seconds=None):
        """Reports a step; `step` is the usual way."""
        self.failed = self.failed or failure is not None
        self._report.add(self.who, step, failure, seconds)

    @contextlib.contextmanager
    def step(self, name):
        """One line of the report. What it raises is the failure; the next step runs all the same."""
        started = time.monotonic()
        failure = None
        try:
            yield
        except Exception as error:  # whatever goes wrong is the result of the step
            failure = f"{type(error).__name__}: {error}"
        self.add(name, failure, time.monotonic() - started)

    def bucket(self, name):
        """The name of a bucket of this session. The client makes it."""
        return self.prefix + name

    def file(self, name, size, seed=None):
        """A file with text that has the canary in every line, below the session's directory."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.text(name if seed is None else seed, size))
        return path

    def expect(self, bucket, key, body):
        """Declares what the frame must find through the gateway when the scenario is over: bytes, a file, or a size.

        Once one key of a bucket is declared, any other key in it is a failure.
        """
        if isinstance(body, int):
            expected = Expected(body, None)
        else:
            data = body.read_bytes() if isinstance(body, pathlib.Path) else body
            expected = Expected(len(data), hashlib.sha256(data).hexdigest())
        self.expected.setdefault(bucket, {})[key] = expected

    def forget(self, bucket, key):
        """The scenario has removed the key."""
        del self.expected[bucket][key]

    @property
    def aws_environment(self):
        """The variables that AWS's SDKs and many others read."""
        variables = {
            "AWS_ACCESS_KEY_ID": self.endpoint.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.endpoint.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if self.endpoint.ca_file:
            variables["AWS_CA_BUNDLE"] = str(self.endpoint.ca_file)
        return variables

    def run(self, *arguments, environment=None, stdin=b"", check=True):
        """Runs a command of the client in the session's directory and returns what it printed.

        The environment is empty but for the variables given, PATH and a HOME of its own: nothing of the machine's
        configuration takes part. Both outputs are in the error if the command fails.
        """
        command = [str(argument) for argument in arguments]
        trust = {"SSL_CERT_FILE": str(self.endpoint.ca_file)} if self.endpoint.ca_file else {}
        base = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "LANG": "C.UTF-8", "TMPDIR": "/tmp"}
        try:
            process = self._commands.start(
                command,
                cwd=self.directory,
                env=base | trust | (environment or {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError as error:
            raise RuntimeError(f"{command[0]} is missing: install it, with apt-get or what this system has") from error
        try:
            output, errors = process.communicate(stdin, timeout=COMMAND_LIMIT)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise RuntimeError(f"`{shorten(command)}` took over {COMMAND_LIMIT} s") from error
            raise
        finally:
            self._commands.ended(process)
        result = Output(process.returncode, output, errors.decode(errors="replace"))
        if check and process.returncode != 0:
            raise RuntimeError(f"`{shorten(command)}` ended with {process.returncode}:\n{result.words}")
        return result

    def run_program(self, *arguments, environment=None):
        """Runs a program that reports steps and objects as lines of words that tabs divide:

            ok      STEP
            fail    STEP    REASON
            object  BUCKET  KEY  SIZE  SHA256
            gone    BUCKET  KEY

        Other lines are shown if it fails. Its environment says where the endpoint is: S3_ENDPOINT, S3_CA_FILE where
        that is https, S3_BASE_DOMAIN (virtual-host style), the variables of AWS's SDKs, BUCKET_PREFIX for every bucket
        that it makes, and CANARY for every body and all user metadata. Its working directory is the session's.
        """
        variables = self.aws_environment | {
            "S3_ENDPOINT": self.endpoint.url,
            "S3_BASE_DOMAIN": self.base_domain,
            "BUCKET_PREFIX": self.prefix,
            "CANARY": self.canary,
        }
        if self.endpoint.ca_file:
            variables["S3_CA_FILE"] = str(self.endpoint.ca_file)
        done = self.run(*arguments, environment=variables | (environment or {}), check=False)
        steps = 0
        for line in done.text.splitlines():
            words = line.split("\t")
            match words:
                case ["ok", step]:
                    self.add(step, None)
                    steps += 1
                case ["fail", step, *reason]:
                    self.add(step, " ".join(reason) or "no reason given")
                    steps += 1
                case ["object", bucket, key, size, sha256]:
                    self.expected.setdefault(bucket, {})[key] = Expected(int(size), sha256 or None)
                case ["gone", bucket, key]:
                    self.forget(bucket, key)
        if done.status != 0 or not steps:
            self.add("the program runs to its end", f"status {done.status}\n{done.words}")


@dataclasses.dataclass(frozen=True)
class Output:
    """What a command of a client left."""

    status: int
    output: bytes
    errors: str

    @property
    def text(self):
        """Standard output as text."""
        return self.output.decode(errors="replace")

    @property
    def words(self):
        """The ends of both outputs, for a failure."""
        return f"{self.text.strip()[-TAIL:]}\n{self.errors.strip()[-TAIL:]}".strip()


def shorten(command):
    """A command line that fits into a line of the report."""
    text = " ".join([pathlib.Path(command[0]).name, *command[1:]])
    return text if len(text) <= 300 else f"{text[:300]}…"
