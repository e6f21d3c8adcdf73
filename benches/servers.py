"""The servers that a measurement starts, and what the kernel counted for them."""

import os
import pathlib
import platform
import signal
import socket
import subprocess
import sys
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


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


def machine():
    processor = next(
        (line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores, {processor}, Linux {platform.release()}"


def build():
    """The programs of this workspace; ten minutes on two cores the first time."""
    root = pathlib.Path(__file__).resolve().parent.parent
    subprocess.run(
        ["cargo", "build", "--release", "-p", "sealgate", "-p", "sealgate-side-by-side", "--bins"], cwd=root, check=True, stdout=sys.stderr
    )
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / "release"


class Program:
    """A server and its worker processes."""

    def __init__(self, name, command, directory, environment=None, port=None):
        """It is ready when it listens on `port`, or, without one, when it prints a line that begins with `ready `: our own servers do."""
        self.name = name
        self.log = pathlib.Path(directory) / f"{name}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command], cwd=directory, stdin=subprocess.DEVNULL, stdout=log if port else subprocess.PIPE,
                stderr=log, text=True, env={**os.environ, **(environment or {})},
            )
        self.urls = self.wait_for_port(port) if port else self.wait_for_urls()
        self.pids = [self.process.pid, *children(self.process.pid)]

    def wait_for_urls(self):
        for line in self.process.stdout:
            if line.startswith("ready "):
                # Whatever follows is read as well, or the server would wait for that.
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return line.split()[1:]
        self.fail()

    def wait_for_port(self, port):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    # Worker processes are there a moment later.
                    time.sleep(0.2)
                    return [f"http://127.0.0.1:{port}"]
            time.sleep(0.05)
        self.fail()

    def fail(self):
        self.stop()
        raise SystemExit(f"{self.name} did not start: {self.log.read_text()}")

    def cpu(self):
        """Seconds in user space and in the kernel: all threads of all processes."""
        counted = [statistics(pid) for pid in self.pids]
        return tuple(sum(int(fields[place]) for fields in counted) / TICKS for place in (11, 12))

    def memory(self, field):
        """A line of /proc/PID/status, in MiB; what processes share is counted in each."""
        total = 0
        for pid in self.pids:
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(f"{field}:"):
                    total += int(line.split()[1])
        return total / 1024

    def resident(self):
        """What is resident now, in MiB."""
        return self.memory("VmRSS")

    def forget_peak(self):
        for pid in self.pids:
            pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak(self):
        """The most that was resident since `forget_peak`, in MiB."""
        return self.memory("VmHWM")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Servers:
    """Everything that runs in a directory; it is stopped at the end, the last first."""

    def __init__(self, place, programs):
        self.place, self.programs, self.started = place, programs, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in reversed(self.started):
            program.stop()

    def start(self, name, command, **named):
        program = Program(name, command, self.place, **named)
        self.started.append(program)
        return program

    def run(self, *command):
        return subprocess.run([str(part) for part in command], cwd=self.place, check=True, capture_output=True, text=True).stdout

    def certificates(self):
        """An authority, and a certificate for everybody on this machine."""
        (self.place / "extensions").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self.run("openssl", "req", "-x509", *curve, "-days", 2, "-subj", "/CN=measurement", "-keyout", "ca-key.pem", "-out", "ca.pem",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.run("openssl", "req", *curve, "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "request.pem")
        self.run("openssl", "x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-days", 2,
                 "-extfile", "extensions", "-out", "certificate.pem")
