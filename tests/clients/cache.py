"""Where clients are installed, once for each version."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

# The longest that one installation may take, in seconds: a large Go program on a busy machine.
INSTALL_LIMIT = 1500


class InstallError(Exception):
    """A client can't be had here; the text says how to get it."""


class Cache:
    """The directory `$XDG_CACHE_HOME/sealgate`, by default `~/.cache/sealgate`."""

    def __init__(self):
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        self.directory = pathlib.Path(base, "sealgate")
        self.directory.mkdir(parents=True, exist_ok=True)

    def once(self, name, make):
        """The directory of this name, filled by `make(directory)` unless it was before.

        Two runs at once do not disturb each other, and what was left half made is made anew.
        """
        target = self.directory / name
        with self._lock(name):
            if (target / "complete").exists():
                return target
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            try:
                make(target)
            except BaseException:
                shutil.rmtree(target, ignore_errors=True)
                raise
            (target / "complete").touch()
        return target

    def python(self, name, *requirements):
        """The interpreter of an environment with these packages from PyPI and what they need."""
        identity = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:16]

        def make(directory):
            run([sys.executable, "-m", "venv", directory], "install python3-venv")
            pip = [directory / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            run([*pip, "--prefer-binary", *requirements], "is the Python package index reachable?")

        return self.once(f"client-{name}-{identity}", make) / "bin" / "python"

    def go_program(self, module, version):
        """A program built by `go install MODULE@VERSION`."""
        name = module.rsplit("/", 1)[1]
        if not shutil.which("go"):
            raise InstallError(f"{name} is built with Go: install Go 1.24 or later (https://go.dev/dl)")

        def make(directory):
            run(
                ["go", "install", f"{module}@{version}"],
                "is the Go module proxy reachable?",
                GOBIN=str(directory),
                GOFLAGS="",
            )

        return self.once(f"client-{name}-{version}", make) / name

    def debian_program(self, package, program):
        """A program out of a Debian package, unpacked without root; or the one in PATH, where there is one."""
        found = shutil.which(program)
        if found:
            return pathlib.Path(found)
        return self.debian_package(package, f"usr/bin/{program}") / "usr" / "bin" / program

    def debian_package(self, package, file):
        """The directory into which a Debian package is unpacked, which holds this file."""
        fix = f"put it into PATH, or run this where apt-get can download {package} (Debian, Ubuntu)"
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            raise InstallError(f"{package} is missing: {fix}")

        def make(directory):
            with tempfile.TemporaryDirectory() as downloads:
                download = ["apt-get", "download", "-q", package]
                try:
                    run(download, fix, directory=downloads)
                except InstallError:
                    # A new machine may have no lists of packages yet.
                    run(["apt-get", "update", "-q"], fix)
                    run(download, fix, directory=downloads)
                for archive in pathlib.Path(downloads).glob("*.deb"):
                    run(["dpkg", "-x", archive, directory], fix)
            if not (directory / file).is_file():
                raise InstallError(f"the package {package} holds no {file}; {fix}")

        return self.once(f"client-{package}-debian", make)

    @contextlib.contextmanager
    def _lock(self, name):
        with open(self.directory / f".{name}.lock", "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def run(arguments, fix, directory=None, **environment):
    """Runs one step of an installation; a failure shows its last lines and what to do."""
    command = [str(argument) for argument in arguments]
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_LIMIT,
            check=False,
        )
    except FileNotFoundError as error:
        raise InstallError(f"{command[0]} is missing: {fix}") from error
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"`{' '.join(command)}` took over {INSTALL_LIMIT} s; {fix}") from error
    if done.returncode != 0:
        last = done.stdout.decode(errors="replace").strip()[-1500:]
        raise InstallError(f"`{' '.join(command)}` failed; {fix}\n{last}")
    return done.stdout.decode(errors="replace")
