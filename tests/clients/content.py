"""What clients store: text that is found again wherever it lies in the clear."""

import base64
import functools
import secrets

# In every line of every file and in user metadata. One for each run, so that nothing old is found.
CANARY = f"canary-{secrets.token_hex(12)}"
# The same for what the frame itself stores in the clear to show that its search works: what a storage removes may stay
# on its disk for a while.
CONTROL = f"canary-{secrets.token_hex(12)}"


@functools.lru_cache(maxsize=64)
def text(seed, size):
    """Numbered lines with the canary: no two places are alike, so misplaced bytes are seen. Exactly `size` bytes."""
    line = f"{CANARY} {seed} {{:08d}}\n"
    count = size // len(line.format(0)) + 1
    return "".join(map(line.format, range(count))).encode()[:size]


def needles(canary):
    """A canary as it may be written: as it is, and in base64 at each of the three alignments."""
    canary = canary.encode()
    found = [canary]
    for shift in range(3):
        encoded = base64.b64encode(b"." * shift + canary)
        # Characters at both ends depend on what stands around the canary.
        found.append(encoded[4 if shift else 0 : -4])
    return found
