"""Working keys from an AWS KMS-compatible key service and from the registry (sections 2 and 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .errors import KeyUnavailable, SealgateError
from .keys import AWS_KMS, WorkingKeys, Wrap, check_working_key, encryption_context, key_reference
from .registry import open_registry_record, registry_name


def list_key_arns(client: Any) -> list[str]:
    """The ARNs of all keys that the key service lists."""
    try:
        pages = client.get_paginator("list_keys").paginate()
        return [key["KeyArn"] for page in pages for key in page["Keys"]]
    except (BotoCoreError, ClientError) as error:
        raise KeyUnavailable(f"the key service does not list its keys: {error}") from error


class KmsWorkingKeys:
    """Unwraps with boto3's KMS client, and only with the keys that the caller has named."""

    def __init__(self, client: Any, key_arns: Iterable[str]) -> None:
        self._client = client
        self._arns = {key_reference(AWS_KMS, arn): arn for arn in key_arns}

    def working_key(self, wk_id: bytes, wraps: tuple[Wrap, ...], domain: str) -> bytes:
        """The first wrap that a named key opens, under the context of the expected domain."""
        context = encryption_context(domain, wk_id)
        refusals = []
        for wrap in wraps:
            arn = self._arns.get(wrap.key_reference) if wrap.provider == AWS_KMS else None
            if arn is None:
                continue
            try:
                answer = self._client.decrypt(KeyId=arn, CiphertextBlob=wrap.blob, EncryptionContext=context)
            except (BotoCoreError, ClientError) as error:
                refusals.append(f"{arn}: {error}")
            else:
                return check_working_key(answer["Plaintext"])
        reasons = "; ".join(refusals) or "none of its wraps is of a key that was named"
        raise KeyUnavailable(f"working key {wk_id.hex()}: {reasons}")


class RegistryWorkingKeys:
    """Tries the wraps that came with the object, then those of the registry record."""

    def __init__(self, keys: WorkingKeys, fetch: Callable[[str], bytes]) -> None:
        self._keys = keys
        self._fetch = fetch

    def working_key(self, wk_id: bytes, wraps: tuple[Wrap, ...], domain: str) -> bytes:
        """The working key; a registry record counts only when its MAC verifies with that key."""
        try:
            return self._keys.working_key(wk_id, wraps, domain)
        except SealgateError:
            name = registry_name(wk_id)
            _, working_key = open_registry_record(name, self._fetch(name), self._keys, domain)
            return working_key
