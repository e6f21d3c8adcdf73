"""Flexible checksums: sent in headers (over plain HTTP, where SDKs do that) and in trailers, kept, given back, and verified.

Each algorithm of S3 in each of the types that a multipart object's checksum may have with it.
"""

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
    "SHA512": lambda body: hashlib.sha512(body).digest(),
    "MD5": lambda body: hashlib.md5(body).digest(),  # S3 offers it
    "XXHASH64": lambda body: crt.XXHash.compute_xxhash64(body),
    "XXHASH3": lambda body: crt.XXHash.compute_xxhash3_64(body),
    "XXHASH128": lambda body: crt.XXHash.compute_xxhash3_128(body),
}
# Those of which the checksum of a whole multipart object follows from those of its parts.
COMBINABLE = ("CRC32", "CRC32C", "CRC64NVME")
WRONG = {name: base64.b64encode(bytes([7]) * len(compute(b""))).decode() for name, compute in ALGORITHMS.items()}


def checksum_value(algorithm, body):
    return base64.b64encode(ALGORITHMS[algorithm](body)).decode()


def _asking(algorithm, body):
    """Arguments that make botocore send the checksum of this body; it cannot compute an MD5."""
    if algorithm == "MD5":
        return {"ChecksumMD5": checksum_value("MD5", body)}
    return {"ChecksumAlgorithm": algorithm}


def put_with_trailer(target, key, body, algorithm, value, bucket=None, **arguments):
    """PutObject with the checksum behind the body, which botocore itself does over TLS only."""
    name = f"x-amz-checksum-{algorithm.lower()}"
    chunks = [body[at : at + 64 * 1024] for at in range(0, len(body), 64 * 1024)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    framed += f"0\r\n{name}:{value}\r\n\r\n".encode()

    def announce(request, **_):
        request.headers["Content-Encoding"] = "aws-chunked"
        request.headers["X-Amz-Decoded-Content-Length"] = str(len(body))
        request.headers["X-Amz-Trailer"] = name
        request.context["checksum"] = {"request_algorithm": {"in": "trailer", "algorithm": algorithm, "name": name}}

    client = target.connect(request_checksum_calculation="when_required")
    client.meta.events.register("before-sign.s3.PutObject", announce)
    return client.put_object(Bucket=bucket or target.bucket, Key=key, Body=framed, **arguments)


def _register():
    for algorithm in ALGORITHMS:
        member = f"Checksum{algorithm}"

        @case(f"checksum: {algorithm} is kept and given back")
        def kept(target, algorithm=algorithm, member=member):
            for size in (3, 2 * MIB):
                body = pattern(41, size)
                key = f"checksum/{algorithm}-{size}"
                answer = target.put(key, body, **_asking(algorithm, body))
                expected = checksum_value(algorithm, body)
                equal(answer.get(member), expected, "PUT")
                equal(target.head(key, ChecksumMode="ENABLED").get(member), expected, "HEAD")
                found = target.get(key, ChecksumMode="ENABLED")
                equal(found.get(member), expected, "GET")
                same_bytes(found["Body"].read(), body)
                equal(target.head(key).get(member), None, "HEAD without checksum mode")

        @case(f"checksum: {algorithm} given by the caller")
        def given(target, algorithm=algorithm, member=member):
            key = f"checksum/given-{algorithm}"
            target.put(key, b"abc", **{member: checksum_value(algorithm, b"abc")})
            equal(target.head(key, ChecksumMode="ENABLED").get(member), checksum_value(algorithm, b"abc"), "HEAD")

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

        @case(f"checksum: {algorithm} in a trailer")
        def trailer(target, algorithm=algorithm, member=member):
            for size in (3, 2 * MIB):
                body = pattern(45, size)
                key = f"checksum/trailer-{algorithm}-{size}"
                put_with_trailer(target, key, body, algorithm, checksum_value(algorithm, body))
                found = target.get(key, ChecksumMode="ENABLED")
                equal(found.get(member), checksum_value(algorithm, body), "GET")
                equal(found.get("ContentEncoding"), None, "Content-Encoding")
                same_bytes(found["Body"].read(), body)
                wrong = f"{key}-wrong"
                refused(
                    lambda wrong=wrong, body=body: put_with_trailer(target, wrong, body, algorithm, WRONG[algorithm]),
                    400,
                    "BadDigest",
                    "XAmzContentChecksumMismatch",
                    "InvalidArgument",
                )
                refused(lambda wrong=wrong: target.head(wrong), 404)

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

        for kind in ("COMPOSITE", "FULL_OBJECT"):
            allowed = kind == "COMPOSITE" if algorithm not in COMBINABLE else algorithm != "CRC64NVME" or kind == "FULL_OBJECT"
            if allowed:
                _multipart(algorithm, member, kind)
            else:

                @case(f"checksum: {algorithm} is not combined to {kind}")
                def impossible(target, algorithm=algorithm, kind=kind):
                    refused(
                        lambda: target.client.create_multipart_upload(
                            Bucket=target.bucket, Key="checksum/impossible", ChecksumAlgorithm=algorithm, ChecksumType=kind
                        ),
                        400,
                        "InvalidRequest",
                        "InvalidArgument",
                    )


def _multipart(algorithm, member, kind):
    @case(f"checksum: {algorithm} of a multipart upload, {kind}")
    def multipart(target):
        key = f"checksum/multipart-{algorithm}-{kind}"
        bodies = [pattern(43, PART), b"end"]
        client = target.client
        upload = client.create_multipart_upload(
            Bucket=target.bucket, Key=key, ChecksumAlgorithm=algorithm, ChecksumType=kind
        )["UploadId"]
        parts = []
        for number, body in enumerate(bodies, 1):
            answer = client.upload_part(
                Bucket=target.bucket,
                Key=key,
                UploadId=upload,
                PartNumber=number,
                Body=body,
                **_asking(algorithm, body),
            )
            equal(answer.get(member), checksum_value(algorithm, body), f"part {number}")
            parts.append({"PartNumber": number, "ETag": answer["ETag"], member: answer[member]})
        listed = client.list_parts(Bucket=target.bucket, Key=key, UploadId=upload)["Parts"]
        equal([part.get(member) for part in listed], [part[member] for part in parts], "ListParts")
        if kind == "FULL_OBJECT":
            expected = checksum_value(algorithm, b"".join(bodies))
        else:
            joined = b"".join(ALGORITHMS[algorithm](body) for body in bodies)
            expected = f"{checksum_value(algorithm, joined)}-2"
        refused(
            lambda: target.complete(key, upload, parts, ChecksumType=kind, **{member: WRONG[algorithm]}),
            400,
            "BadDigest",
            "XAmzContentChecksumMismatch",
        )
        answer = target.complete(key, upload, parts, ChecksumType=kind, **{member: expected})
        equal(answer.get(member), expected, "Complete")
        head = target.head(key, ChecksumMode="ENABLED")
        equal((head.get(member), head.get("ChecksumType")), (expected, kind), "HEAD")
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
        parts.append({**part, "ChecksumCRC32": checksum_value("CRC32", body)})
    expected = checksum_value("CRC32", b"".join(bodies))
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
    target.complete(key, upload, [{**part, "ChecksumSHA256": checksum_value("SHA256", b"abc")}])
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
    equal(found.get("ChecksumSHA256"), checksum_value("SHA256", b"abc"), "checksum")


@case("checksum: a part without one is refused where the object's is made of them")
def missing_part(target):
    key = "checksum/missing-part"
    client = target.connect(request_checksum_calculation="when_required")
    upload = client.create_multipart_upload(Bucket=target.bucket, Key=key, ChecksumAlgorithm="SHA256")["UploadId"]
    refused(
        lambda: client.upload_part(Bucket=target.bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"abc"),
        400,
        "InvalidRequest",
        "InvalidArgument",
    )


@case("checksum: UploadPartCopy has one")
def part_copy(target):
    target.put("checksum/part-source", b"abc")
    key = "checksum/part-copy"
    upload = target.client.create_multipart_upload(Bucket=target.bucket, Key=key, ChecksumAlgorithm="SHA256")[
        "UploadId"
    ]
    copied = target.client.upload_part_copy(
        Bucket=target.bucket,
        Key=key,
        UploadId=upload,
        PartNumber=1,
        CopySource={"Bucket": target.bucket, "Key": "checksum/part-source"},
    )["CopyPartResult"]
    equal(copied.get("ChecksumSHA256"), checksum_value("SHA256", b"abc"), "CopyPartResult")
    target.complete(
        key, upload, [{"PartNumber": 1, "ETag": copied["ETag"], "ChecksumSHA256": copied["ChecksumSHA256"]}]
    )
    equal(target.body(key), b"abc", "body")


@case("checksum: a copy gets the one that is asked for")
def asked_for_in_copy(target):
    target.put("checksum/asked-source", b"abc", ChecksumAlgorithm="CRC32")
    target.client.copy_object(
        Bucket=target.bucket,
        Key="checksum/asked",
        CopySource={"Bucket": target.bucket, "Key": "checksum/asked-source"},
        ChecksumAlgorithm="SHA256",
    )
    found = target.head("checksum/asked", ChecksumMode="ENABLED")
    equal(found.get("ChecksumSHA256"), checksum_value("SHA256", b"abc"), "checksum")
