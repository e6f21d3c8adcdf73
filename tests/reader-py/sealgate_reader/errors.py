"""Why something was refused. Every refusal of this package is a `SealgateError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class SealgateError(Exception):
    """Base of all refusals.

    `stage` says how far reading had come: `header`, `commit`, `segment` or `record`. It is None
    until `during` has named it.
    """

    stage: str | None = None


class Malformed(SealgateError):
    """The bytes are not what FORMAT.md allows; no key is needed to see it."""


class NotAuthentic(SealgateError):
    """A MAC or an AEAD tag does not verify: altered, moved, or sealed with another key."""


class KeyUnavailable(SealgateError):
    """No configured key or key service gives the working key that is needed."""


class InvalidConfiguration(SealgateError):
    """What the caller expects (domain, object key, key file, range) is itself not valid."""


@contextmanager
def during(stage: str) -> Iterator[None]:
    """Mark refusals raised inside with `stage`, unless an inner stage has marked them already."""
    try:
        yield
    except SealgateError as error:
        if error.stage is None:
            error.stage = stage
        raise
