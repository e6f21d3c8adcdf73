"""Server processes: started on free ports, ended with their owner, their logs kept until then."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

# How long a server may take until it serves; long, because a machine with two cores may be busy with a build.
START_SECONDS = 60

# How long a server may take to end before it is killed.
END_SECONDS = 5

# What servers and cases see of our environment. The rest, such as AWS_CA_BUNDLE, would change what is tested.
KEPT_VARIABLES = ("PATH", "TMPDIR", "LANG")


def environment(home, **more):
    """The variables of a child process."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {**kept, "HOME": str(home), **more}


class Process:
    """A server in a process group of its own. Its output goes to files in `directory`."""

    def __init__(self, name, command, directory, variables):
        self.name = name
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.output = self.directory / f"{name}.out"
        self.log = self.directory / f"{name}.log"
        with open(self.output, "wb") as output, open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                cwd=self.directory,
                env=environment(self.directory, **variables),
                start_new_session=True,
            )

    def wait_until(self, ready):
        """Waits until `ready()` is true. Raises RuntimeError with the log's end if that takes too long or the process ends."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not become ready\n{self.last_words()}")
            time.sleep(0.05)

    def ready_url(self):
        """What our own servers print when they serve: `ready URL`."""
        found = []

        def look():
            lines = self.output.read_text(encoding="utf-8", errors="replace").splitlines()
            found.extend(line.removeprefix("ready ").strip() for line in lines if line.startswith("ready "))
            return bool(found)

        self.wait_until(look)
        return found[0]

    def last_words(self):
        """The end of what it said."""
        texts = [path.read_text(encoding="utf-8", errors="replace")[-3_000:] for path in (self.output, self.log)]
        return f"--- the last of {self.name} ---\n" + "\n".join(texts)

    def end(self):
        """Ends the process and all that it started."""
        if self.child.poll() is None:
            self.child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(END_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()


def listens(port):
    """Whether somebody listens on the port."""
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex(("127.0.0.1", port)) == 0
