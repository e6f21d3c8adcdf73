"""GetObjectAttributes."""

from .suite import MIB, PART, case, equal, expect, pattern, refused

_ALL = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]


def _attributes(target, key, names=_ALL, **arguments):
    return target.client.get_object_attributes(Bucket=target.bucket, Key=key, ObjectAttributes=names, **arguments)


@case("rule 21: attributes of a small and of a large object")
def single(target):
    for size in (5, 2 * MIB):
        key = f"attributes/{size}"
        target.put(key, pattern(81, size), ChecksumAlgorithm="SHA256")
        found = _attributes(target, key)
        head = target.head(key, ChecksumMode="ENABLED")
        equal(found["ObjectSize"], size, "size")
        equal(found["ETag"], head["ETag"].strip('"'), "entity tag")
        equal(found["Checksum"]["ChecksumSHA256"], head["ChecksumSHA256"], "checksum")
        equal(found.get("StorageClass", "STANDARD"), "STANDARD", "storage class")
        expect("ObjectParts" not in found or not found["ObjectParts"].get("Parts"), f"there are parts: {found}")
        expect(found.get("LastModified") is not None, "no time")


@case("rule 21: attributes of a multipart object, with its parts page by page")
def multipart(target):
    key = "attributes/multipart"
    bodies = [pattern(82, PART), pattern(83, PART + 1), b"end"]
    upload = target.client.create_multipart_upload(
        Bucket=target.bucket, Key=key, ChecksumAlgorithm="CRC32", ChecksumType="COMPOSITE"
    )["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        answer = target.client.upload_part(
            Bucket=target.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32"
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": answer["ChecksumCRC32"]})
    target.complete(key, upload, parts)
    found = _attributes(target, key)
    equal(found["ObjectSize"], sum(map(len, bodies)), "size")
    equal(found["ObjectParts"]["TotalPartsCount"], 3, "number of parts")
    expect(found["Checksum"]["ChecksumCRC32"].endswith("-3"), f"checksum is {found['Checksum']}")
    seen, marker = [], 0
    while True:
        page = _attributes(target, key, ["ObjectParts"], MaxParts=2, PartNumberMarker=marker)["ObjectParts"]
        seen += [(part["PartNumber"], part["Size"], part.get("ChecksumCRC32")) for part in page.get("Parts", [])]
        expect(len(page.get("Parts", [])) <= 2, "a page is too long")
        if not page["IsTruncated"]:
            break
        marker = page["NextPartNumberMarker"]
    equal(seen, [(p["PartNumber"], len(b), p["ChecksumCRC32"]) for p, b in zip(parts, bodies)], "parts")


@case("rule 21: only the attributes that were asked for")
def some(target):
    target.put("attributes/some", b"x")
    found = _attributes(target, "attributes/some", ["ObjectSize"])
    equal({name for name in _ALL if name in found}, {"ObjectSize"}, "attributes")


@case("rule 21: attributes of a version, and of a key that is missing")
def versions(target):
    bucket = target.new_bucket()
    target.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    ids = [target.client.put_object(Bucket=bucket, Key="k", Body=b"x" * size)["VersionId"] for size in (3, 7)]
    for version, size in zip(ids, (3, 7)):
        found = target.client.get_object_attributes(
            Bucket=bucket, Key="k", VersionId=version, ObjectAttributes=["ObjectSize"]
        )
        equal((found["ObjectSize"], found["VersionId"]), (size, version))
    refused(lambda: _attributes(target, "attributes/missing"), 404, "NoSuchKey")


@case("rule 21: attributes in a bucket that is missing")
def missing_bucket(target):
    missing = f"{target.bucket}-missing"
    refused(
        lambda: target.client.get_object_attributes(Bucket=missing, Key="attributes/missing", ObjectAttributes=_ALL),
        404,
        "NoSuchBucket",
    )


@case("rule 21: attributes that do not exist are refused")
def unknown(target):
    target.put("attributes/unknown", b"x")
    refused(lambda: _attributes(target, "attributes/unknown", ["Owner"]), 400, "InvalidArgument")
