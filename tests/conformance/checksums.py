"""Flexible checksums: sent in headers (over plain HTTP, where SDKs do that), kept, given back, and verified."""

import base64
import hashlib
import zlib

from awscrt import checksums as crt

from .suite import MIB, PART, case, equal, pattern, refused, same_bytes


def _number(value, width):
    return value.to_bytes(width, "big")


ALGORITHMS = {
    "CRC32": lambda body: _number(zlib.crc32(body), 4),
    "CRC32C": lambda body: _number(crt.crc32c(body), 4),
    "CRC64NVME": lambda body: _number(crt.crc64nvme(body), 8),
    "SHA1": lambda body: hashlib.sha1(body).digest(),  # S3 offers it
    "SHA256": lambda body: hashlib.sha256(body).digest(),
}
WRONG = {name: base64.b64encode(bytes([7]) * len(compute(b""))).decode() for name, compute in ALGORITHMS.items()}


def _value(algorithm, body):
    return base64.b64encode(ALGORITHMS[algorithm](body)).decode()


def _register():
    for algorithm in ALGORITHMS:
        member = f"Checksum{algorithm}"

        @case(f"checksum: {algorithm} is kept and given back")
        def kept(target, algorithm=algorithm, member=member):
            for size in (3, 2 * MIB):
                body = pattern(41, size)
                key = f"checksum/{algorithm}-{size}"
                answer = target.put(key, body, ChecksumAlgorithm=algorithm)
                expected = _value(algorithm, body)
                equal(answer.get(member), expected, "PUT")
                equal(target.head(key, ChecksumMode="ENABLED").get(member), expected, "HEAD")
                found = target.get(key, ChecksumMode="ENABLED")
                equal(found.get(member), expected, "GET")
                same_bytes(found["Body"].read(), body)
                equal(target.head(key).get(member), None, "HEAD without checksum mode")

        @case(f"checksum: {algorithm} given by the caller")
        def given(target, algorithm=algorithm, member=member):
            key = f"checksum/given-{algorithm}"
            target.put(key, b"abc", **{member: _value(algorithm, b"abc")})
            equal(target.head(key, ChecksumMode="ENABLED").get(member), _value(algorithm, b"abc"), "HEAD")

        @case(f"checksum: a wrong {algorithm} is refused")
        def wrong(target, algorithm=algorithm, member=member):
            for size in (3, 2 * MIB):
                key = f"checksum/wrong-{algorithm}-{size}"
                refused(
                    lambda key=key, size=size: target.put(key, pattern(42, size), **{member: WRONG[algorithm]}),
                    400,
                    "BadDigest",
                    "XAmzContentChecksumMismatch",
                    "InvalidArgument",
                )
                refused(lambda key=key: target.head(key), 404)

        @case(f"checksum: {algorithm} of a part is verified")
        def wrong_part(target, algorithm=algorithm, member=member):
            key = f"checksum/part-{algorithm}"
            upload = target.client.create_multipart_upload(
                Bucket=target.bucket, Key=key, ChecksumAlgorithm=algorithm
            )["UploadId"]
            refused(
                lambda: target.upload_part(key, upload, 1, b"abc", **{member: WRONG[algorithm]}),
                400,
                "BadDigest",
                "XAmzContentChecksumMismatch",
                "InvalidArgument",
            )
            equal(
                target.client.list_parts(Bucket=target.bucket, Key=key, UploadId=upload).get("Parts"), None, "parts"
            )
            target.client.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload)

        @case(f"checksum: {algorithm} of a multipart upload")
        def multipart(target, algorithm=algorithm, member=member):
            key = f"checksum/multipart-{algorithm}"
            bodies = [pattern(43, PART), b"end"]
            client = target.client
            created = client.create_multipart_upload(Bucket=target.bucket, Key=key, ChecksumAlgorithm=algorithm)
            upload = created["UploadId"]
            parts = []
            for number, body in enumerate(bodies, 1):
                answer = client.upload_part(
                    Bucket=target.bucket,
                    Key=key,
                    UploadId=upload,
                    PartNumber=number,
                    Body=body,
                    ChecksumAlgorithm=algorithm,
                )
                equal(answer.get(member), _value(algorithm, body), f"part {number}")
                parts.append({"PartNumber": number, "ETag": answer["ETag"], member: answer[member]})
            listed = client.list_parts(Bucket=target.bucket, Key=key, UploadId=upload)["Parts"]
            equal([part.get(member) for part in listed], [part[member] for part in parts], "ListParts")
            answer = target.complete(key, upload, parts)
            if algorithm == "CRC64NVME":
                expected = _value(algorithm, b"".join(bodies))
            else:
                joined = b"".join(ALGORITHMS[algorithm](body) for body in bodies)
                expected = f"{_value(algorithm, joined)}-2"
            equal(answer.get(member), expected, "Complete")
            equal(target.head(key, ChecksumMode="ENABLED").get(member), expected, "HEAD")
            same_bytes(target.body(key), b"".join(bodies))


_register()


@case("checksum: CRC32 of a whole multipart object")
def full_object(target):
    key = "checksum/full-object"
    bodies = [pattern(44, PART), b"end"]
    upload = target.client.create_multipart_upload(
        Bucket=target.bucket, Key=key, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
    )["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        part = target.upload_part(key, upload, number, body, ChecksumAlgorithm="CRC32")
        parts.append({**part, "ChecksumCRC32": _value("CRC32", body)})
    expected = _value("CRC32", b"".join(bodies))
    answer = target.complete(key, upload, parts, ChecksumType="FULL_OBJECT", ChecksumCRC32=expected)
    equal((answer.get("ChecksumCRC32"), answer.get("ChecksumType")), (expected, "FULL_OBJECT"), "Complete")


@case("checksum: a wrong one in the list of a Complete is refused")
def wrong_in_complete(target):
    key = "checksum/wrong-in-complete"
    upload = target.client.create_multipart_upload(Bucket=target.bucket, Key=key, ChecksumAlgorithm="SHA256")[
        "UploadId"
    ]
    part = target.upload_part(key, upload, 1, b"abc", ChecksumAlgorithm="SHA256")
    refused(
        lambda: target.complete(key, upload, [{**part, "ChecksumSHA256": WRONG["SHA256"]}]),
        400,
        "InvalidPart",
        "BadDigest",
    )
    target.complete(key, upload, [{**part, "ChecksumSHA256": _value("SHA256", b"abc")}])
    equal(target.body(key), b"abc", "body")


@case("checksum: survives a copy")
def copied(target):
    target.put("checksum/copy-source", b"abc", ChecksumAlgorithm="SHA256")
    target.client.copy_object(
        Bucket=target.bucket,
        Key="checksum/copied",
        CopySource={"Bucket": target.bucket, "Key": "checksum/copy-source"},
        ChecksumAlgorithm="SHA256",
    )
    found = target.head("checksum/copied", ChecksumMode="ENABLED")
    equal(found.get("ChecksumSHA256"), _value("SHA256", b"abc"), "checksum")
