"""What a client is to the frame."""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Client:
    """One client and what its users do with it."""

    name: str
    """Lower case and hyphens; part of the names of its buckets."""

    version: str
    """The version that is installed, for the report and docs/clients.md."""

    install: Callable[[Any], Any]
    """Gets the `Cache`, returns what the scenario calls: mostly the path of a program."""

    scenario: Callable[[Any], None]
    """Gets a `Session` whose `tool` is what `install` returned."""

    encrypts: bool = False
    """Whether it stores nothing in the clear by itself, so that no canary would be seen at a bare storage."""

    transports: tuple[str, ...] = ("http", "https")
    """Over what it runs, once each. SDKs send checksums in trailers over https and in headers over http."""
