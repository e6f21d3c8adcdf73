"""Sealed objects fetched straight from an S3 storage with boto3 (FORMAT.md section 7)."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import limits
from .errors import KeyUnavailable, Malformed, SealgateError

READ_AHEAD = 4 * 1024 * 1024
"""Bytes fetched by one request at least, where the body has as many."""


class StorageFailed(SealgateError):
    """The storage gave an error, or the object changed while it was read."""


class StoredObject:
    """One version of a stored object: a body for the reader, and its header values."""

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client = client
        self._place = {"Bucket": bucket, "Key": key}
        try:
            head = client.head_object(**self._place)
        except (BotoCoreError, ClientError) as error:
            raise StorageFailed(f"the storage does not give {bucket}/{key}: {error}") from error
        self.length: int = head["ContentLength"]
        self._etag: str = head["ETag"]
        self._window_start = 0
        self._window = b""
        values = [value for name, value in head["Metadata"].items() if name.lower() == "sealgate"]
        self.header_values: list[str] = values

    def read(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes of the version that was there at the start."""
        if offset < 0 or count < 0 or offset + count > self.length:
            raise Malformed(f"the body has {self.length} bytes; bytes {offset} to {offset + count} were wanted")
        start = offset - self._window_start
        if start < 0 or start + count > len(self._window):
            self._fetch(offset, min(max(count, READ_AHEAD), self.length - offset))
            start = 0
        return self._window[start : start + count]

    def _fetch(self, offset: int, count: int) -> None:
        if count == 0:
            self._window_start, self._window = offset, b""
            return
        wanted = f"bytes={offset}-{offset + count - 1}"
        try:
            answer = self._client.get_object(**self._place, Range=wanted, IfMatch=self._etag)
            data = answer["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise StorageFailed(f"the storage does not give {wanted}: {error}") from error
        if len(data) != count:
            raise StorageFailed(f"the storage gave {len(data)} bytes for {wanted}")
        self._window_start, self._window = offset, data


def fetch_record(client: Any, bucket: str, name: str) -> bytes:
    """A small record of the state bucket, whole."""
    try:
        answer = client.get_object(Bucket=bucket, Key=name)
        if answer["ContentLength"] > limits.RECORD:
            raise Malformed(f"record {name} has more than {limits.RECORD} bytes")
        return answer["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise KeyUnavailable(f"the storage does not give record {name}: {error}") from error
