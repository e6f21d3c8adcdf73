"""One line for each client and step, and the count at the end."""

import json
import threading


class Report:
    """Where results go. Sessions of several threads may use it at once."""

    def __init__(self, as_json):
        self.as_json = as_json
        self.passed = 0
        self.failed = 0
        self._lock = threading.Lock()

    def add(self, who, step, failure, seconds=None):
        """Prints one result; a failure may have several lines."""
        with self._lock:
            if failure is None:
                self.passed += 1
            else:
                self.failed += 1
            if self.as_json:
                line = {"client": who, "step": step, "ok": failure is None, "failure": failure, "seconds": seconds}
                print(json.dumps(line), flush=True)
                return
            took = "" if seconds is None else f" ({seconds:.1f} s)"
            print(f"{'ok  ' if failure is None else 'FAIL'} {who}: {step}{took}", flush=True)
            if failure is not None:
                print("\n".join(f"     {line}" for line in failure.splitlines()), flush=True)

    def note(self, text):
        """Something that is no result."""
        with self._lock:
            if not self.as_json:
                print(text, flush=True)

    def finish(self):
        """Prints the count. Returns the exit status."""
        if self.as_json:
            print(json.dumps({"passed": self.passed, "failed": self.failed}))
        else:
            print(f"\n{self.passed} passed, {self.failed} failed")
        # A run that tested nothing has not passed.
        return 0 if self.passed and not self.failed else 1
