"""Comparisons that say what differs."""


def expect(condition, message):
    """Fails with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def equal(actual, expected, what):
    """Fails unless both are the same; says how they differ."""
    if actual == expected:
        return
    if isinstance(actual, bytes) and isinstance(expected, bytes):
        shared = min(len(actual), len(expected))
        at = next((i for i in range(shared) if actual[i] != expected[i]), shared)
        raise AssertionError(f"{what} has {len(actual)} bytes, expected {len(expected)}; they differ at {at}")
    raise AssertionError(f"{what} is {shorten(actual)}, expected {shorten(expected)}")


def same_files(left, right):
    """Fails unless two directories hold the same files with the same bytes."""
    contents = [
        {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (left, right)
    ]
    equal(sorted(contents[0]), sorted(contents[1]), f"the set of files in {left.name}")
    for name, body in contents[0].items():
        equal(body, contents[1][name], name)


def shorten(value):
    """A value that fits into a report."""
    text = repr(value)
    return text if len(text) <= 600 else f"{text[:600]}…"
