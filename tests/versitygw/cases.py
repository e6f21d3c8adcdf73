"""The cases: their names, as versitygw tells them, and one run of one of them."""

import dataclasses
import os
import re
import signal
import subprocess
import time

from .processes import environment
from .targets import ACCESS_KEY_ID, SECRET_ACCESS_KEY

# How long one case may take; the slowest take a few seconds.
CASE_SECONDS = 120

# The most of a case's output that is kept.
KEPT_OUTPUT = 16_000

# The suite has more cases than this; fewer means that the list could not be read.
FEWEST_CASES = 800

# What the help says of a case; other commands run groups of cases, or measure.
CASE = re.compile(r"^ {3}(\w+) +Runs \1 integration test$", re.MULTILINE)

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass
class Outcome:
    """What a run of a case came to."""

    passed: bool
    seconds: float
    output: str

    def reason(self):
        """The line that says why it failed."""
        lines = [line for line in self.output.splitlines() if line.strip()]
        failures = [line.removeprefix("FAIL ") for line in lines if line.startswith("FAIL ")]
        return (failures or lines or ["no output"])[0 if failures else -1]


def names(versitygw):
    """All cases, sorted."""
    shown = subprocess.run(
        [versitygw, "test", "--help"], capture_output=True, text=True, timeout=60, check=True, env=environment("/")
    )
    found = sorted(set(CASE.findall(shown.stdout)))
    if len(found) < FEWEST_CASES:
        raise RuntimeError(f"versitygw names only {len(found)} cases:\n{shown.stdout[-2_000:]}")
    return found


def run(versitygw, endpoint, name):
    """Runs one case. Its process group is killed when it takes too long."""
    started = time.monotonic()
    command = [versitygw.resolve(), "test", "--access", ACCESS_KEY_ID, "--secret", SECRET_ACCESS_KEY]
    # The flag has cases remove all versions at their end; without it no case of a versioned bucket could pass.
    command += ["--endpoint", endpoint, name, "--versioning-enabled"]
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Some cases start ./versitygw.
        cwd=versitygw.resolve().parent,
        env=environment("/"),
        start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=CASE_SECONDS)
        passed = child.returncode == 0
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output, _ = child.communicate()
        output += f"\nFAIL {name}: took longer than {CASE_SECONDS} s".encode()
        passed = False
    text = COLOUR.sub("", output.decode(errors="replace"))
    return Outcome(passed, round(time.monotonic() - started, 3), text[-KEPT_OUTPUT:])
