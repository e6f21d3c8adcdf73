import io
import unittest

from botocore.exceptions import ClientError

from sealgate_reader.errors import KeyUnavailable, NotAuthentic
from sealgate_reader.keys import AWS_KMS, Wrap, encryption_context, key_reference
from sealgate_reader.kms import KmsWorkingKeys, RegistryWorkingKeys, list_key_arns
from sealgate_reader.objects import Reader
from sealgate_reader.pattern import pattern
from sealgate_reader.registry import RegistryRecord, registry_name
from sealgate_reader.storage import StorageFailed, StoredObject

from .samples import DOMAIN, WORKING_KEY, WORKING_KEY_ID, Sample

ARN = "arn:aws:kms:us-east-1:000000000000:key/1"
WRAP = Wrap(AWS_KMS, key_reference(AWS_KMS, ARN), b"blob")
STRANGER = Wrap(AWS_KMS, key_reference(AWS_KMS, "arn:another"), b"blob")


class KeyServer:
    """Stands for boto3's KMS client: one key, one blob, one context."""

    def __init__(self):
        self.requests = []

    def get_paginator(self, operation):
        assert operation == "list_keys"
        return self

    def paginate(self):
        return [{"Keys": [{"KeyArn": "arn:another-key"}]}, {"Keys": [{"KeyArn": ARN}]}]

    def decrypt(self, **request):
        self.requests.append(request)
        context = encryption_context(DOMAIN, WORKING_KEY_ID)
        if request == {"KeyId": ARN, "CiphertextBlob": b"blob", "EncryptionContext": context}:
            return {"Plaintext": WORKING_KEY}
        raise ClientError({"Error": {"Code": "InvalidCiphertextException"}}, "Decrypt")


class KeyServices(unittest.TestCase):
    def test_finds_the_key_by_its_reference(self):
        server = KeyServer()
        keys = KmsWorkingKeys(server, list_key_arns(server))
        self.assertEqual(keys.working_key(WORKING_KEY_ID, (STRANGER, WRAP), DOMAIN), WORKING_KEY)
        self.assertEqual(len(server.requests), 1)

    def test_contacts_no_server_for_a_key_that_is_not_named(self):
        server = KeyServer()
        keys = KmsWorkingKeys(server, ["arn:unrelated"])
        other_provider = Wrap(2, WRAP.key_reference, b"blob")
        self.assertRaises(KeyUnavailable, keys.working_key, WORKING_KEY_ID, (WRAP, other_provider), DOMAIN)
        self.assertEqual(server.requests, [])

    def test_the_domain_is_the_readers_own(self):
        keys = KmsWorkingKeys(KeyServer(), [ARN])
        self.assertRaises(KeyUnavailable, keys.working_key, WORKING_KEY_ID, (WRAP,), "another")

    def test_wraps_of_the_registry(self):
        raw = RegistryRecord(WORKING_KEY_ID, 1, DOMAIN, (WRAP,)).seal(WORKING_KEY)
        forged = raw[:-1] + bytes([raw[-1] ^ 1])
        name = registry_name(WORKING_KEY_ID)
        keys = KmsWorkingKeys(KeyServer(), [ARN])
        found = RegistryWorkingKeys(keys, {name: raw}.__getitem__).working_key(WORKING_KEY_ID, (STRANGER,), DOMAIN)
        self.assertEqual(found, WORKING_KEY)
        with self.assertRaises(NotAuthentic):
            RegistryWorkingKeys(keys, {name: forged}.__getitem__).working_key(WORKING_KEY_ID, (STRANGER,), DOMAIN)


class Storage:
    """Stands for boto3's S3 client with one object."""

    def __init__(self, body):
        self.body = bytes(body)
        self.etag = '"1"'

    def head_object(self, **place):
        return {"ContentLength": len(self.body), "ETag": self.etag, "Metadata": {"sealgate": "value", "other": "x"}}

    def get_object(self, Range, IfMatch, **place):
        if IfMatch != self.etag:
            raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "GetObject")
        first, last = map(int, Range.removeprefix("bytes=").split("-"))
        return {"Body": io.BytesIO(self.body[first : last + 1])}


class Objects(unittest.TestCase):
    def test_reads_a_sealed_object_through_ranges(self):
        sample = Sample(length=9_000_000)
        stored = StoredObject(Storage(sample.body()), "b", "k")
        self.assertEqual(stored.header_values, ["value"])
        self.assertEqual(b"".join(Reader(sample.opened(), stored).whole()), pattern(0, 9_000_000))
        self.assertEqual(b"".join(Reader(sample.opened(), stored).range(70_000, 8_000_000)), pattern(70_000, 7_930_001))

    def test_refuses_an_object_that_changes(self):
        sample = Sample(length=9_000_000)
        client = Storage(sample.body())
        reader = Reader(sample.opened(), StoredObject(client, "b", "k"))
        client.etag = '"2"'
        self.assertRaises(StorageFailed, b"".join, reader.whole())
