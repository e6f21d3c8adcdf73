"""Programs that are started, and what the kernel counted for them."""

import os
import pathlib
import signal
import socket
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def statistics(pid):
    """The fields of /proc/PID/stat behind the name, which may hold anything."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def children(pid):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int(statistics(entry.name)[1]) == pid:
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


class Program:
    """A server and its worker processes."""

    def __init__(self, name, command, directory, environment=None, ready=None, port=None):
        """It is ready when it prints a line that begins with `ready`, or listens on `port`."""
        self.name = name
        self.log = pathlib.Path(directory) / f"{name}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command], cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if ready else log,
                stderr=log, text=True, env={**os.environ, **(environment or {})},
            )
        self.line = self.wait_for_line(ready) if ready else self.wait_for_port(port)
        self.pids = [self.process.pid, *children(self.process.pid)]

    def wait_for_line(self, start):
        for line in self.process.stdout:
            if line.startswith(start):
                return line.split()
        raise SystemExit(f"{self.name} did not start: {self.log.read_text()}")

    def wait_for_port(self, port):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    # Worker processes are there a moment later.
                    time.sleep(0.2)
                    return []
            time.sleep(0.05)
        raise SystemExit(f"{self.name} did not start: {self.log.read_text()}")

    def cpu(self):
        """Seconds in user space and in the kernel: all threads of all processes."""
        counted = [statistics(pid) for pid in self.pids]
        return tuple(sum(int(fields[place]) for fields in counted) / TICKS for place in (11, 12))

    def forget_peak(self):
        for pid in self.pids:
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak(self):
        """The most that was resident since `forget_peak`, in MiB; what processes share is counted in each."""
        total = 0
        for pid in self.pids:
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1])
        return total / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
