"""Multipart uploads."""

import hashlib

from .suite import PART, case, equal, expect, pattern, refused, same_bytes

ONE, TWO, THREE = (pattern(seed, PART) for seed in (11, 12, 13))


def _begin(target, key, **arguments):
    return target.client.create_multipart_upload(Bucket=target.bucket, Key=key, **arguments)["UploadId"]


def _parts(target, key, upload, **arguments):
    return target.client.list_parts(Bucket=target.bucket, Key=key, UploadId=upload, **arguments)


@case("multipart: three parts with headers and metadata")
def three(target):
    bodies = (ONE, TWO, b"end")
    answer = target.upload("multipart/three", *bodies, Metadata={"k": "v"}, ContentType="video/x")
    head = target.head("multipart/three")
    equal((head["Metadata"], head["ContentType"], head["ContentLength"]), ({"k": "v"}, "video/x", 2 * PART + 3))
    same_bytes(target.body("multipart/three"), b"".join(bodies))
    equal(answer["ETag"], head["ETag"], "entity tag of HEAD")
    if target.difference("entity tag of a multipart object"):
        number = answer["ETag"].strip('"').partition("-")[2]
        expect(number in ("3", "4"), f"{answer['ETag']} is not that of an object of 3 parts")
    else:
        joined = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest()
        equal(answer["ETag"], f'"{joined}-3"', "entity tag")
    equal((answer["Bucket"], answer["Key"]), (target.bucket, "multipart/three"), "answer")


@case("multipart: entity tags of parts")
def part_tags(target):
    upload = _begin(target, "multipart/tags")
    tag = target.upload_part("multipart/tags", upload, 1, b"part")["ETag"]
    again = target.upload_part("multipart/tags", upload, 1, b"part")["ETag"]
    if target.difference("entity tag of a part"):
        expect(tag != again, "two attempts have one entity tag")
    else:
        equal((tag, again), (target.etag(b"part"),) * 2, "entity tags")
    expect(tag.startswith('"') and tag.endswith('"'), f"{tag} is not quoted")
    target.client.abort_multipart_upload(Bucket=target.bucket, Key="multipart/tags", UploadId=upload)


def _register_last_parts():
    for length in (0, 1, 65_536, PART - 1, PART, PART + 1):

        @case(f"multipart: a last part of {length} bytes")
        def check(target, length=length):
            key = f"multipart/last-{length}"
            last = pattern(14, length)
            target.upload(key, ONE, last)
            same_bytes(target.body(key), ONE + last)
            equal(target.head(key)["ContentLength"], PART + length, "length")

        @case(f"multipart: only one part, of {length} bytes")
        def only(target, length=length):
            key = f"multipart/only-{length}"
            body = pattern(15, length)
            target.upload(key, body)
            same_bytes(target.body(key), body)


_register_last_parts()


@case("multipart: a part that is uploaded again replaces the first")
def again(target):
    key = "multipart/again"
    upload = _begin(target, key)
    parts = [target.upload_part(key, upload, number, body) for number, body in ((1, ONE), (2, TWO), (3, b"end"))]
    stale = dict(parts[1])
    parts[1] = target.upload_part(key, upload, 2, THREE)
    refused(lambda: target.complete(key, upload, [parts[0], stale, parts[2]]), 400, "InvalidPart")
    target.complete(key, upload, parts)
    same_bytes(target.body(key), ONE + THREE + b"end")


@case("multipart: a small last part that is uploaded again")
def small_again(target):
    key = "multipart/small-again"
    upload = _begin(target, key)
    first = target.upload_part(key, upload, 1, ONE)
    target.upload_part(key, upload, 2, b"wrong one")
    second = target.upload_part(key, upload, 2, b"right")
    target.complete(key, upload, [first, second])
    same_bytes(target.body(key), ONE + b"right")


@case("multipart: parts in any order of arrival")
def any_order(target):
    key = "multipart/any-order"
    upload = _begin(target, key)
    parts = [target.upload_part(key, upload, number, body) for number, body in ((3, b"end"), (1, ONE), (2, TWO))]
    target.complete(key, upload, sorted(parts, key=lambda part: part["PartNumber"]))
    same_bytes(target.body(key), ONE + TWO + b"end")


@case("multipart: part numbers with gaps, up to 10,000")
def gaps(target):
    key = "multipart/gaps"
    upload = _begin(target, key)
    parts = [target.upload_part(key, upload, number, body) for number, body in ((2, ONE), (500, TWO), (10_000, b"x"))]
    target.complete(key, upload, parts)
    same_bytes(target.body(key), ONE + TWO + b"x")


@case("multipart: a large part 10,000")
def large_last_number(target):
    key = "multipart/large-10000"
    upload = _begin(target, key)
    parts = [target.upload_part(key, upload, number, body) for number, body in ((9_999, ONE), (10_000, TWO))]
    target.complete(key, upload, parts)
    same_bytes(target.body(key), ONE + TWO)


@case("multipart: a part that is not listed is left out")
def left_out(target):
    key = "multipart/left-out"
    upload = _begin(target, key)
    parts = [target.upload_part(key, upload, number, body) for number, body in ((1, ONE), (2, TWO), (3, THREE))]
    target.complete(key, upload, [parts[0], parts[2]])
    same_bytes(target.body(key), ONE + THREE)


@case("multipart: part numbers 0 and 10,001 are refused")
def bad_numbers(target):
    key = "multipart/bad-numbers"
    upload = _begin(target, key)
    for number in (0, 10_001):
        refused(lambda number=number: target.upload_part(key, upload, number, b"x"), 400, "InvalidArgument")
    target.client.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload)


@case("multipart: a small part that is not the last is EntityTooSmall, and the upload goes on")
def too_small(target):
    key = "multipart/too-small"
    upload = _begin(target, key)
    parts = [target.upload_part(key, upload, number, b"x") for number in (1, 2)]
    refused(lambda: target.complete(key, upload, parts), 400, "EntityTooSmall")
    parts[0] = target.upload_part(key, upload, 1, ONE)
    target.complete(key, upload, parts)
    same_bytes(target.body(key), ONE + b"x")


@case("multipart: a Complete that names wrong parts is InvalidPart")
def wrong_parts(target):
    key = "multipart/wrong-parts"
    upload = _begin(target, key)
    part = target.upload_part(key, upload, 1, b"x")
    wrong = {"PartNumber": 1, "ETag": '"00000000000000000000000000000000"'}
    refused(lambda: target.complete(key, upload, [wrong]), 400, "InvalidPart")
    refused(lambda: target.complete(key, upload, [part, {**part, "PartNumber": 2}]), 400, "InvalidPart")
    target.complete(key, upload, [part])
    equal(target.body(key), b"x", "body")


@case("multipart: a Complete out of order is InvalidPartOrder")
def wrong_order(target):
    key = "multipart/wrong-order"
    upload = _begin(target, key)
    parts = [target.upload_part(key, upload, number, body) for number, body in ((1, ONE), (2, b"x"))]
    refused(lambda: target.complete(key, upload, parts[::-1]), 400, "InvalidPartOrder")
    target.client.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload)


@case("multipart: an empty Complete is refused")
def empty_complete(target):
    key = "multipart/empty-complete"
    upload = _begin(target, key)
    refused(lambda: target.complete(key, upload, []), 400, "MalformedXML", "InvalidRequest", "InvalidPart")
    target.client.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload)


@case("multipart: entity tags without quotes are accepted")
def unquoted(target):
    key = "multipart/unquoted"
    upload = _begin(target, key)
    part = target.upload_part(key, upload, 1, b"x")
    target.complete(key, upload, [{"PartNumber": 1, "ETag": part["ETag"].strip('"')}])
    equal(target.body(key), b"x", "body")


@case("multipart: ListParts with sizes, tags and pages")
def list_parts(target):
    key = "multipart/listed"
    upload = _begin(target, key)
    parts = [target.upload_part(key, upload, number, body) for number, body in ((1, ONE), (2, TWO), (3, THREE), (7, b"x"))]
    listed = _parts(target, key, upload)
    equal(
        [(part["PartNumber"], part["Size"], part["ETag"]) for part in listed["Parts"]],
        [(part["PartNumber"], size, part["ETag"]) for part, size in zip(parts, (PART, PART, PART, 1))],
    )
    equal((listed["IsTruncated"], listed["UploadId"], listed["Key"]), (False, upload, key))
    page = _parts(target, key, upload, MaxParts=1, PartNumberMarker=1)
    equal(([part["PartNumber"] for part in page["Parts"]], page["IsTruncated"]), ([2], True))
    equal(page["NextPartNumberMarker"], 2, "marker")
    page = _parts(target, key, upload, PartNumberMarker=3)
    equal(([part["PartNumber"] for part in page["Parts"]], page["IsTruncated"]), ([7], False))
    target.client.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload)


@case("multipart: ListParts of no parts")
def list_no_parts(target):
    key = "multipart/no-parts"
    upload = _begin(target, key)
    equal(_parts(target, key, upload).get("Parts"), None, "parts")
    target.client.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload)


@case("multipart: ListMultipartUploads of a key")
def list_uploads(target):
    key = "multipart/open"
    upload = _begin(target, key)
    answer = target.client.list_multipart_uploads(Bucket=target.bucket, Prefix=key)
    equal([(item["Key"], item["UploadId"]) for item in answer.get("Uploads", [])], [(key, upload)])
    target.client.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload)
    answer = target.client.list_multipart_uploads(Bucket=target.bucket, Prefix=key)
    equal(answer.get("Uploads"), None, "uploads after the abort")


@case("multipart: ListMultipartUploads of a bucket")
def list_bucket_uploads(target):
    bucket = target.new_bucket()
    client = target.client
    begun = sorted((key, client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]) for key in ("a", "b/1", "b/2"))
    listed = client.list_multipart_uploads(Bucket=bucket)
    equal([(item["Key"], item["UploadId"]) for item in listed.get("Uploads", [])], begun, "uploads")
    rolled = client.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    equal([item["Key"] for item in rolled.get("Uploads", [])], ["a"], "uploads with a delimiter")
    equal([item["Prefix"] for item in rolled.get("CommonPrefixes", [])], ["b/"], "prefixes")
    page = client.list_multipart_uploads(Bucket=bucket, MaxUploads=2)
    equal(([item["Key"] for item in page["Uploads"]], page["IsTruncated"]), (["a", "b/1"], True), "page")


@case("multipart: after an abort there is nothing")
def abort(target):
    key = "multipart/aborted"
    upload = _begin(target, key)
    part = target.upload_part(key, upload, 1, b"x")
    answer = target.client.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload)
    equal(answer["ResponseMetadata"]["HTTPStatusCode"], 204, "status")
    refused(lambda: _parts(target, key, upload), 404, "NoSuchUpload")
    refused(lambda: target.upload_part(key, upload, 2, b"x"), 404, "NoSuchUpload")
    refused(lambda: target.complete(key, upload, [part]), 404, "NoSuchUpload")
    refused(lambda: target.head(key), 404)


@case("multipart: an upload that never was is NoSuchUpload")
def unknown(target):
    key = "multipart/unknown"
    upload = "0" * 32
    refused(lambda: target.upload_part(key, upload, 1, b"x"), 404, "NoSuchUpload")
    refused(lambda: target.upload_part(key, upload, 1, ONE), 404, "NoSuchUpload")
    refused(lambda: _parts(target, key, upload), 404, "NoSuchUpload")
    refused(lambda: target.complete(key, upload, [{"PartNumber": 1, "ETag": '"0"'}]), 404, "NoSuchUpload")
    refused(
        lambda: target.client.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload), 404, "NoSuchUpload"
    )


@case("multipart: an upload belongs to its key")
def other_key(target):
    upload = _begin(target, "multipart/its-key")
    refused(lambda: target.upload_part("multipart/other-key", upload, 1, b"x"), 404, "NoSuchUpload")
    target.client.abort_multipart_upload(Bucket=target.bucket, Key="multipart/its-key", UploadId=upload)


@case("multipart: no part comes to a finished upload")
def finished(target):
    key = "multipart/finished"
    upload = _begin(target, key)
    target.complete(key, upload, [target.upload_part(key, upload, 1, b"x")])
    refused(lambda: target.upload_part(key, upload, 1, b"y"), 404, "NoSuchUpload")
    refused(lambda: target.upload_part(key, upload, 1, ONE), 404, "NoSuchUpload")
    equal(target.body(key), b"x", "body")


@case("multipart: a retried Complete succeeds or is NoSuchUpload, and changes nothing")
def retried(target):
    key = "multipart/retried"
    upload = _begin(target, key)
    parts = [target.upload_part(key, upload, 1, ONE), target.upload_part(key, upload, 2, b"x")]
    first = target.complete(key, upload, parts)
    try:
        equal(target.complete(key, upload, parts)["ETag"], first["ETag"], "entity tag")
    except target.client.exceptions.ClientError as error:
        equal(error.response["Error"]["Code"], "NoSuchUpload", "code")
    same_bytes(target.body(key), ONE + b"x")


@case("multipart: two uploads of one key do not touch each other")
def two_uploads(target):
    key = "multipart/two"
    uploads = [_begin(target, key) for _ in range(2)]
    parts = [target.upload_part(key, upload, 1, body) for upload, body in zip(uploads, (ONE, TWO))]
    target.complete(key, uploads[1], [parts[1]])
    same_bytes(target.body(key), TWO)
    target.complete(key, uploads[0], [parts[0]])
    same_bytes(target.body(key), ONE)


@case("multipart: Complete with If-None-Match *")
def complete_new(target):
    key = "multipart/complete-new"
    upload = _begin(target, key)
    target.complete(key, upload, [target.upload_part(key, upload, 1, b"first")], IfNoneMatch="*")
    upload = _begin(target, key)
    part = target.upload_part(key, upload, 1, b"second")
    refused(lambda: target.complete(key, upload, [part], IfNoneMatch="*"), 412, "PreconditionFailed")
    equal(target.body(key), b"first", "body")


@case("multipart: GET and HEAD by partNumber")
def part_number(target):
    key = "multipart/part-number"
    target.upload(key, ONE, TWO, b"end")
    for number, body in ((1, ONE), (2, TWO), (3, b"end")):
        found = target.get(key, PartNumber=number)
        equal((found["ContentLength"], found.get("PartsCount")), (len(body), 3), f"part {number}")
        equal(found["ResponseMetadata"]["HTTPStatusCode"], 206, "status")
        same_bytes(found["Body"].read(), body, f"part {number}")
        head = target.head(key, PartNumber=number)
        equal((head["ContentLength"], head.get("PartsCount")), (len(body), 3), f"HEAD of part {number}")
    equal(target.get(key, PartNumber=2)["ContentRange"], f"bytes {PART}-{2 * PART - 1}/{2 * PART + 3}", "range")
    refused(lambda: target.get(key, PartNumber=4), 416, "InvalidPartNumber")


@case("multipart: partNumber of a single PUT")
def part_number_of_single(target):
    target.put("multipart/single", b"single")
    equal(target.get("multipart/single", PartNumber=1)["Body"].read(), b"single", "body")
    refused(lambda: target.get("multipart/single", PartNumber=2), 416, "InvalidPartNumber")


@case("multipart: a single PUT has no number of parts")
def no_number_of_parts(target):
    target.put("multipart/single-without-parts", b"single")
    for answer in (target.get, target.head):
        equal(answer("multipart/single-without-parts", PartNumber=1).get("PartsCount"), None, "number of parts")


@case("multipart: a bucket made anew has no uploads of the one before")
def new_bucket(target):
    bucket = target.new_bucket()
    target.client.create_multipart_upload(Bucket=bucket, Key="multipart/of-the-former")
    target.client.delete_bucket(Bucket=bucket)
    target.client.create_bucket(Bucket=bucket)
    found = target.client.list_multipart_uploads(Bucket=bucket, Prefix="multipart/of-the-former")
    equal(found.get("Uploads", []), [], "uploads")


@case("multipart: uploads in a bucket that is missing are NoSuchBucket")
def missing_bucket(target):
    place = {"Bucket": f"{target.bucket}-missing"[:63], "Key": "k", "UploadId": "bm90LW91cnM"}
    refused(lambda: target.client.list_parts(**place), 404, "NoSuchBucket")
    refused(lambda: target.client.abort_multipart_upload(**place), 404, "NoSuchBucket")
    refused(lambda: target.client.upload_part(**place, PartNumber=1, Body=b"x"), 404, "NoSuchBucket")
