"""What the frame sees for itself, beside the clients: the gateway by boto3, the storage by boto3 and by its files."""

import base64
import hashlib

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from . import content
from .checks import equal, expect
from .servers import REGION

# FORMAT.md, sections 4 to 6.
SEGMENT, SEGMENT_OVERHEAD, PART = 65_536, 28, 5_242_880
# FORMAT.md, section 7.
HEADER = "sealgate"
CONTROL_BUCKET = "control"


def connect(endpoint):
    """boto3 without retries."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        region_name=REGION,
        aws_access_key_id=endpoint.access_key_id,
        aws_secret_access_key=endpoint.secret_access_key,
        verify=str(endpoint.ca_file) if endpoint.ca_file else None,
        config=Config(signature_version="s3v4", retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def sealed_length(plaintext):
    """FORMAT.md, section 5, written down once more."""
    return (
        plaintext
        + SEGMENT_OVERHEAD * -(-plaintext // SEGMENT)
        + 256
        + 128 * min(plaintext // PART + 1, 10_000)
    )


class Inspection:
    """The storage and the gateway of a run."""

    def __init__(self, servers):
        self._data = servers.data
        self._bare = connect(servers.storage)
        self._gateways = {name: connect(endpoint) for name, endpoint in servers.gateways.items()}

    def show_that_plaintext_is_found(self):
        """A control: what is stored without the gateway is found on the disk, in bodies and in metadata alike."""
        self._bare.create_bucket(Bucket=CONTROL_BUCKET)
        control = content.CONTROL.encode()
        encoded = base64.b64encode(b"{" + control + b"}").decode()
        for key, body, metadata in (
            ("body", control.join([b"."] * 10_000), {}),
            ("metadata", b"", {"canary": content.CONTROL}),
            ("encoded metadata", b"", {"canary": encoded}),
        ):
            self._bare.put_object(Bucket=CONTROL_BUCKET, Key=key, Body=body, Metadata=metadata)
            found = self._files_with(content.CONTROL, [CONTROL_BUCKET])
            expect(found, f"the search does not see a canary in the {key}")
            self._bare.delete_object(Bucket=CONTROL_BUCKET, Key=key)
        expect(not self._files_with(content.CONTROL, [CONTROL_BUCKET]), "the search sees what was removed")
        self._bare.delete_bucket(Bucket=CONTROL_BUCKET)

    def check(self, session):
        """Judges what a session left; one step each."""
        gateway = self._gateways[session.transport]
        buckets = [
            bucket["Name"]
            for bucket in gateway.list_buckets()["Buckets"]
            if bucket["Name"].startswith(session.prefix)
        ]
        listed = {bucket: dict(list_sizes(gateway, bucket)) for bucket in buckets}
        with session.step("there is something to inspect"):
            expect(sum(map(len, listed.values())), f"no object is left in {buckets}")
        with session.step("listings show the sizes of the plaintext"):
            for bucket, sizes in listed.items():
                for key, size in sizes.items():
                    head = gateway.head_object(Bucket=bucket, Key=key)
                    equal(head["ContentLength"], size, f"HEAD's length of {bucket}/{key}, beside the listing's,")
        with session.step("the gateway returns what the client stored"):
            check_bodies(gateway, listed, session.expected)
        with session.step("the storage holds only sealed objects"):
            for bucket, sizes in listed.items():
                self._check_sealed(bucket, sizes)
        with session.step("the storage's disk holds no plaintext"):
            found = self._files_with(content.CANARY, buckets)
            expect(not found, f"plaintext lies in {found}")

    def check_bare(self, session, encrypts):
        """A control of the scenario: at the bare storage, what it stores is found in the clear."""
        with session.step("without the gateway, plaintext lies on the storage's disk"):
            found = self._files_with(content.CANARY, [path.name for path in self._data.glob(f"{session.prefix}*")])
            expect(bool(found) != encrypts, f"a scenario must store the canary where it would be seen; found {found}")

    def check_whole_disk(self):
        """After all sessions: buckets of nobody, the state, uploads that were left, MinIO's own files."""
        found = self._files_with(content.CANARY, [""])
        expect(not found, f"plaintext lies in {found}")

    def _check_sealed(self, bucket, sizes):
        stored = dict(list_sizes(self._bare, bucket))
        equal(sorted(stored), sorted(sizes), f"the keys in {bucket} at the storage")
        for key, length in stored.items():
            metadata = self._bare.head_object(Bucket=bucket, Key=key)["Metadata"]
            equal(list(metadata), [HEADER], f"the names of the metadata of {bucket}/{key} at the storage")
            equal(length, sealed_length(sizes[key]), f"the length of {bucket}/{key} at the storage")

    def _files_with(self, canary, directories):
        """Files below directories of the storage's data that hold the canary in some form."""
        needles = content.needles(canary)
        found = []
        for directory in directories:
            for path in (self._data / directory).rglob("*"):
                try:
                    data = path.read_bytes()
                except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                    continue  # a server is at work here
                if any(needle in data for needle in needles):
                    found.append(str(path.relative_to(self._data)))
        return found


def check_bodies(gateway, listed, expected):
    """Every object is read; where the scenario has declared what it is, it is that."""
    for bucket, objects in expected.items():
        equal(sorted(listed.get(bucket, {})), sorted(objects), f"the keys in {bucket}")
    for bucket, sizes in listed.items():
        for key, size in sizes.items():
            body = gateway.get_object(Bucket=bucket, Key=key)["Body"].read()
            equal(len(body), size, f"the length of the body of {bucket}/{key}, beside the listing's,")
            declared = expected.get(bucket, {}).get(key)
            if declared is None:
                continue
            equal(size, declared.size, f"the listed size of {bucket}/{key}")
            if declared.sha256:
                equal(hashlib.sha256(body).hexdigest(), declared.sha256, f"the digest of {bucket}/{key}")


def list_sizes(client, bucket):
    """Key and size of each object, by ListObjectsV2 in pages that are small enough to have several."""
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7}):
            for found in page.get("Contents", []):
                yield found["Key"], found["Size"]
    except ClientError as error:
        raise AssertionError(f"{bucket} can't be listed: {error}") from error
