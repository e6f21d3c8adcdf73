"""What all cases share: their registry, clients, and checks."""

import functools
import hashlib
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from . import differences

MIB = 1 << 20
PART = 5 * MIB

_cases = []


def case(name):
    """Registers a function of one argument, the target. It fails by raising."""

    def register(check):
        if any(known == name for known, _ in _cases):
            raise ValueError(f"two cases are called {name!r}")
        _cases.append((name, check))
        return check

    return register


def cases(text):
    """The cases whose names contain the text, in the order of their modules."""
    return [(name, check) for name, check in _cases if text in name]


def _expand(names):
    """A name that ends in * stands for all cases that begin so."""
    expanded = {}
    for name, reason in names.items():
        found = [known for known, _ in _cases if known == name or name[-1] == "*" and known.startswith(name[:-1])]
        if not found:
            raise KeyError(f"no case is called {name!r}")
        expanded |= dict.fromkeys(found, reason)
    return expanded


class Target:
    """An endpoint, a bucket on it, and what is declared to differ there."""

    def __init__(self, endpoint, store, sealed):
        self.endpoint = endpoint
        self.store = store
        self.sealed = sealed
        self.client = self.connect()
        self.bucket = self.new_bucket()
        # Cases that the storage itself is known not to pass, with the reason, those that pass through the gateway all the same, and those
        # that pass by chance.
        self.missing = _expand(differences.MISSING[store])
        self.mended = [*_expand(dict.fromkeys(differences.MENDED[store]))]
        self.unsteady = differences.UNSTEADY[store]

    def connect(self, **settings):
        """A client without retries, so that every answer is seen."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            config=Config(
                retries={"total_max_attempts": 1},
                connect_timeout=5,
                read_timeout=60,
                s3={"addressing_style": "path"},
                **{"signature_version": "s3v4", **settings},
            ),
        )

    def new_bucket(self):
        name = f"conformance-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=name)
        return name

    def difference(self, name):
        """Whether a declared difference applies here."""
        if name not in differences.DECLARED:
            raise KeyError(f"{name} is not declared")
        return self.sealed

    def run(self, check):
        """Why the case failed, or None."""
        try:
            check(self)
        except ClientError as error:
            return f"unexpected {describe(error)}"
        except Exception as error:  # whatever goes wrong is the result of the case
            return f"{type(error).__name__}: {str(error)[:600]}"
        return None

    def put(self, key, body=b"", **arguments):
        return self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **arguments)

    def get(self, key, **arguments):
        return self.client.get_object(Bucket=self.bucket, Key=key, **arguments)

    def body(self, key, **arguments):
        return self.get(key, **arguments)["Body"].read()

    def head(self, key, **arguments):
        return self.client.head_object(Bucket=self.bucket, Key=key, **arguments)

    def etag(self, body):
        """The entity tag that an object of this body has when it was stored with one PUT, where that can be known."""
        return f'"{hashlib.md5(body).hexdigest()}"'  # S3 defines it so

    def check_etag(self, tag, body):
        """A tag is the body's MD5, or what is declared instead."""
        if self.difference("entity tag of a single PUT"):
            expect(tag.startswith('"') and tag.endswith('-01"'), f"{tag} does not end in -01")
            expect(hashlib.md5(body).hexdigest() not in tag, f"{tag} is the MD5 of the plaintext")
        else:
            equal(tag, self.etag(body), "entity tag")

    def upload(self, key, *bodies, **arguments):
        """A multipart upload of these parts, completed. Returns the answer."""
        upload = self.client.create_multipart_upload(Bucket=self.bucket, Key=key, **arguments)["UploadId"]
        parts = [self.upload_part(key, upload, number, body) for number, body in enumerate(bodies, 1)]
        return self.complete(key, upload, parts)

    def upload_part(self, key, upload, number, body, **arguments):
        answer = self.client.upload_part(
            Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body, **arguments
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def complete(self, key, upload, parts, **arguments):
        return self.client.complete_multipart_upload(
            Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **arguments
        )


def with_headers(client, operation, headers):
    """The client, sending further headers with one kind of operation."""

    def add(request, **_):
        for name, value in headers.items():
            request.headers[name] = value

    client.meta.events.register(f"before-sign.s3.{operation}", add)
    return client


@functools.cache
def pattern(seed, length):
    """Bytes that are alike nowhere."""
    blocks = (length + 31) // 32
    return b"".join(hashlib.sha256(b"%d %d" % (seed, index)).digest() for index in range(blocks))[:length]


def describe(error):
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return f"{status} {error.response['Error'].get('Code')}: {error.response['Error'].get('Message', '')[:200]}"


def expect(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(actual, expected, what="value"):
    if actual != expected:
        raise AssertionError(f"{what} is {shorten(actual)}, expected {shorten(expected)}")


def same_bytes(actual, expected, what="body"):
    """Says where two bodies differ instead of printing them."""
    if actual == expected:
        return
    at = next((i for i, (a, b) in enumerate(zip(actual, expected)) if a != b), min(len(actual), len(expected)))
    raise AssertionError(f"{what} has {len(actual)} bytes, expected {len(expected)}; they differ at {at}")


def shorten(value):
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}…"


def refused(call, status, *codes):
    """The call must end with this status, or one of several, and, where any are named, one of these codes."""
    statuses = status if isinstance(status, tuple) else (status,)
    try:
        answer = call()
    except ClientError as error:
        found = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code = error.response["Error"].get("Code")
        expect(
            found in statuses and (not codes or code in codes),
            f"answered {describe(error)}, expected {status} {' or '.join(codes)}",
        )
        return error.response
    raise AssertionError(f"succeeded with {shorten(answer)}, expected {status} {' or '.join(codes)}")
