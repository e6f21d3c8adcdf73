"""Where plaintext goes: standard output, or a file that appears only when it is whole."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_plaintext(pieces: Iterable[bytes], target: Path | None) -> int:
    """Write all pieces; returns their length in bytes.

    With a target, they go to a temporary file beside it, which takes its name only after the last
    piece has been authenticated; a refusal leaves nothing behind.
    """
    if target is None:
        return _write(pieces, sys.stdout.buffer)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            length = _write(pieces, stream)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return length


def _write(pieces: Iterable[bytes], stream) -> int:
    length = 0
    for piece in pieces:
        stream.write(piece)
        length += len(piece)
    stream.flush()
    return length
