"""Reads by part number."""

from .suite import MIB, PART, case, equal, expect, pattern, refused, same_bytes, with_headers

LENGTHS = (PART, PART + 70_001, 12_345)


def _object(target):
    """Three parts; stored once for each target."""
    if not hasattr(target, "parted"):
        key = "parts/three"
        bodies = [pattern(41 + n, length) for n, length in enumerate(LENGTHS)]
        target.upload(key, *bodies, Metadata={"m": "p"}, ContentType="text/parts")
        target.parted = key, bodies
    return target.parted


@case("part: each is read by its number")
def each(target):
    key, bodies = _object(target)
    total, start = sum(LENGTHS), 0
    for number, body in enumerate(bodies, 1):
        for name, found in (("GET", target.get(key, PartNumber=number)), ("HEAD", target.head(key, PartNumber=number))):
            expected = (206, len(body), f"bytes {start}-{start + len(body) - 1}/{total}", 3)
            equal(
                (
                    found["ResponseMetadata"]["HTTPStatusCode"],
                    found["ContentLength"],
                    found.get("ContentRange"),
                    found.get("PartsCount"),
                ),
                expected,
                f"{name} of part {number}",
            )
            equal((found["Metadata"], found["ContentType"]), ({"m": "p"}, "text/parts"), f"{name} of part {number}")
            equal(found["ETag"], target.head(key)["ETag"], "entity tag")
        same_bytes(target.body(key, PartNumber=number), body, f"part {number}")
        start += len(body)


@case("part: after gaps in the numbers, each is read by its place")
def gaps(target):
    key, (one, two) = "parts/gaps", (pattern(47, PART), b"end")
    upload = target.client.create_multipart_upload(Bucket=target.bucket, Key=key)["UploadId"]
    target.complete(key, upload, [target.upload_part(key, upload, n, body) for n, body in ((3, one), (7, two))])
    for place, body in ((1, one), (2, two)):
        found = target.get(key, PartNumber=place)
        same_bytes(found["Body"].read(), body, f"part {place}")
        equal(found["PartsCount"], 2, "number of parts")
    refused(lambda: target.get(key, PartNumber=3), 416, "InvalidPartNumber")


@case("part: the whole object says nothing of parts")
def whole(target):
    key, _ = _object(target)
    for found in (target.get(key), target.head(key)):
        equal((found.get("PartsCount"), found.get("ContentRange")), (None, None))


@case("part: beyond the last is InvalidPartNumber")
def beyond(target):
    key, _ = _object(target)
    for number in (4, 10_000):
        refused(lambda number=number: target.get(key, PartNumber=number), 416, "InvalidPartNumber")
        refused(lambda number=number: target.head(key, PartNumber=number), 416, "416")


def _with_query(target, operation, text):
    client = target.connect()
    add = lambda request, **_: setattr(request, "url", f"{request.url}?{text}")
    client.meta.events.register(f"before-sign.s3.{operation}", add)
    return client


@case("part: numbers that can't be are refused")
def senseless(target):
    key, _ = _object(target)
    for text in ("0", "-1", "10001", "x", "1.0"):
        client = _with_query(target, "GetObject", f"partNumber={text}")
        refused(lambda client=client: client.get_object(Bucket=target.bucket, Key=key), 400)


@case("part: together with a range it is InvalidRequest")
def with_range(target):
    key, _ = _object(target)
    refused(lambda: target.get(key, PartNumber=1, Range="bytes=0-1"), 400)
    refused(lambda: target.head(key, PartNumber=1, Range="bytes=0-1"), 400)


@case("part: with conditions")
def conditions(target):
    key, bodies = _object(target)
    tag = target.head(key)["ETag"]
    same_bytes(target.body(key, PartNumber=3, IfMatch=tag), bodies[2])
    for call in (target.get, target.head):
        refused(lambda call=call: call(key, PartNumber=3, IfMatch='"0123"'), 412)
        refused(lambda call=call: call(key, PartNumber=3, IfNoneMatch=tag), 304)


@case("part: number 1 of a single PUT is all of it, number 2 is not there")
def single(target):
    for size in (1, 300_000, 2 * MIB):
        body = pattern(45, size)
        target.put("parts/single", body)
        found = target.get("parts/single", PartNumber=1)
        same_bytes(found["Body"].read(), body)
        equal(target.head("parts/single", PartNumber=1)["ContentLength"], size, "length")
        refused(lambda: target.get("parts/single", PartNumber=2), 416, "InvalidPartNumber")


@case("part: response headers can be overridden")
def overrides(target):
    key, _ = _object(target)
    found = target.get(key, PartNumber=3, ResponseContentType="text/override")
    equal((found["ContentType"], found["PartsCount"]), ("text/override", 3))


@case("part: an upload of one part has one")
def only_one(target):
    for size in (0, 5, PART):
        target.upload("parts/one", pattern(46, size))
        found = target.head("parts/one", PartNumber=1)
        equal((found.get("PartsCount"), found["ContentLength"]), (1, size), f"one part of {size} bytes")
        same_bytes(target.body("parts/one", PartNumber=1), pattern(46, size))


@case("part: a header that asks for 100 Continue on a read changes nothing")
def expect_continue(target):
    key, bodies = _object(target)
    client = with_headers(target.connect(), "GetObject", {"Expect": "100-continue"})
    found = client.get_object(Bucket=target.bucket, Key=key, PartNumber=3)
    same_bytes(found["Body"].read(), bodies[2])
    expect(found["PartsCount"] == 3, "the number of parts is missing")
