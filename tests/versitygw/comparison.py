"""Runs cases against one storage, bare and through the gateway, and says which of them the gateway loses."""

import dataclasses
import queue
import threading
import time

from . import cases, differences
from .targets import Target

# How often a case that seems lost is tried again before it counts, and how many failures in all make it so.
REPEATS = 2
FAILURES = 2


@dataclasses.dataclass
class Comparison:
    """What came of one upstream. `bare` and `through` hold outcomes by the names of cases."""

    upstream: str
    bare: dict = dataclasses.field(default_factory=dict)
    through: dict = dataclasses.field(default_factory=dict)
    # Cases that passed bare and failed through, more than once.
    lost: list = dataclasses.field(default_factory=list)
    # Lost ones that are declared.
    declared: list = dataclasses.field(default_factory=list)
    # Those that fail otherwise than declared, with how.
    otherwise: dict = dataclasses.field(default_factory=dict)
    # Lost ones that are known defects.
    open: list = dataclasses.field(default_factory=list)
    # Known defects that pass.
    mended: list = dataclasses.field(default_factory=list)
    # Declared ones that pass through the gateway: the entry has outlived its reason.
    stale: list = dataclasses.field(default_factory=list)
    # Cases that came out differently when they were repeated, with where.
    flaky: dict = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def failed(self):
        return bool(self.lost or self.otherwise or self.stale)


class Worker:
    """One target with a thread that runs cases against it, one at a time: their buckets have the same names."""

    def __init__(self, programs, upstream, sealed, said):
        self.target = Target(programs, upstream, sealed)
        self.versitygw = programs.versitygw
        self.said = said

    def run(self, name):
        """One case on a clean target."""
        outcome = cases.run(self.versitygw, self.target.endpoint, name)
        self.target.clean()
        verdict = "ok  " if outcome.passed else "FAIL"
        self.said(f"{verdict} {self.target.name}: {name}{'' if outcome.passed else ': ' + outcome.reason()[:300]}")
        return outcome


def compare(programs, upstream, names, everything, known_to_pass, said):
    """Compares one upstream. The cases `known_to_pass` are run through the gateway only, unless they fail there."""
    started = time.monotonic()
    comparison = Comparison(upstream)
    bare = Worker(programs, upstream, False, said)
    through = None
    try:
        through = Worker(programs, upstream, True, said)
        run_both(comparison, bare, through, names, everything, known_to_pass)
        judge(comparison, bare, through, known_to_pass)
    finally:
        bare.target.close()
        if through is not None:
            through.target.close()
    comparison.seconds = round(time.monotonic() - started, 1)
    return comparison


def run_both(comparison, bare, through, names, everything, known_to_pass):
    """The two targets beside each other; through the gateway goes what has passed bare, or all."""
    waiting = queue.SimpleQueue()
    stopping = threading.Event()
    failures = []

    def run_bare():
        try:
            for name in names:
                if stopping.is_set():
                    break
                if name in known_to_pass:
                    waiting.put(name)
                    continue
                outcome = comparison.bare[name] = bare.run(name)
                if outcome.passed or everything:
                    waiting.put(name)
        except Exception as error:  # told by the caller's thread
            failures.append(error)
        finally:
            waiting.put(None)

    thread = threading.Thread(target=run_bare)
    thread.start()
    try:
        while (name := waiting.get()) is not None:
            comparison.through[name] = through.run(name)
    finally:
        stopping.set()
        thread.join()
    if failures:
        raise failures[0]


def judge(comparison, bare, through, known_to_pass):
    """Sorts what failed through the gateway, and repeats it before it counts."""
    declared = differences.declared(comparison.upstream)
    known = differences.still_open(comparison.upstream)
    for name, outcome in comparison.through.items():
        if outcome.passed:
            if name in declared and (name in known_to_pass or comparison.bare[name].passed):
                comparison.stale.append(name)
            if name in known:
                comparison.mended.append(name)
            continue
        if name in known_to_pass and name not in declared and name not in known:
            comparison.bare[name] = bare.run(name)
        if name not in known_to_pass and not comparison.bare[name].passed:
            continue
        if name in declared:
            unlike = differs(declared[name], outcome, lambda name=name: through.run(name))
            if unlike is None:
                comparison.declared.append(name)
            else:
                comparison.otherwise[name] = unlike
            continue
        if name in known:
            comparison.open.append(name)
            continue
        if not comparison.bare[name].passed or not bare.run(name).passed:
            comparison.flaky[name] = "bare"
        elif fails_again(lambda name=name: through.run(name)):
            comparison.lost.append(name)
        else:
            comparison.flaky[name] = "through"


def fails_again(run):
    """Whether a case that failed once does so often enough to count."""
    failures = 1
    for _ in range(REPEATS):
        failures += not run().passed
        if failures >= FAILURES:
            return True
    return False


def differs(difference, outcome, run):
    """How a declared case fails otherwise than declared, if it does so more than once; None where it does not."""
    unlike = outcome.reason()
    if difference.explains(outcome):
        return None
    for _ in range(REPEATS):
        outcome = run()
        if not outcome.passed and not difference.explains(outcome):
            return unlike
    return None
