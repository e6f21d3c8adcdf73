"""Objects and what is kept with them."""

import datetime
import threading

from .suite import MIB, case, equal, expect, pattern, refused, same_bytes

HEADERS = {
    "ContentType": "text/x-conformance; charset=utf-8",
    "CacheControl": "no-store, max-age=0",
    "ContentDisposition": 'attachment; filename="report.txt"',
    "ContentEncoding": "gzip",
    "ContentLanguage": "de-CH",
}


@case("object: bytes, headers and user metadata come back")
def everything(target):
    metadata = {"foo": "bar", "x-y": "1", "with-space": "a b  c"}
    answer = target.put("everything", b"hello world", Metadata=metadata, **HEADERS)
    target.check_etag(answer["ETag"], b"hello world")
    for name, found in (("HEAD", target.head("everything")), ("GET", target.get("everything"))):
        equal(found["Metadata"], metadata, f"{name} metadata")
        equal({key: found.get(key) for key in HEADERS}, HEADERS, f"{name} headers")
        equal(found["ContentLength"], 11, f"{name} length")
        equal(found["ETag"], answer["ETag"], f"{name} entity tag")
        equal(found["ResponseMetadata"]["HTTPStatusCode"], 200, f"{name} status")
        equal(found.get("ContentRange"), None, f"{name} range")
        equal(found.get("AcceptRanges"), "bytes", f"{name} accept-ranges")
    equal(target.body("everything"), b"hello world", "body")


@case("object: Expires is kept")
def expires(target):
    moment = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    target.put("expires", b"x", Expires=moment)
    equal(target.head("expires")["ResponseMetadata"]["HTTPHeaders"].get("expires"), "Wed, 02 Jan 2030 03:04:05 GMT")


@case("object: without a content type it is binary/octet-stream")
def default_type(target):
    target.put("default-type", b"x")
    equal(target.head("default-type")["ContentType"], "binary/octet-stream", "content type")


@case("object: names of user metadata are lower case")
def lower_case(target):
    target.put("lower-case", b"x", Metadata={"MixedCase": "KeptCase"})
    equal(target.head("lower-case")["Metadata"], {"mixedcase": "KeptCase"}, "metadata")


@case("object: a second PUT replaces body, headers and metadata")
def replaced(target):
    target.put("replaced", b"first", Metadata={"a": "b"}, ContentType="text/first")
    target.put("replaced", b"second!")
    head = target.head("replaced")
    equal((head["Metadata"], head["ContentType"]), ({}, "binary/octet-stream"), "what is kept")
    equal(target.body("replaced"), b"second!", "body")


@case("object: DELETE, then PUT without metadata, has none")
def deleted(target):
    target.put("deleted", b"1", Metadata={"a": "b"})
    equal(target.client.delete_object(Bucket=target.bucket, Key="deleted")["ResponseMetadata"]["HTTPStatusCode"], 204)
    refused(lambda: target.head("deleted"), 404, "404")
    target.put("deleted", b"2")
    equal(target.head("deleted")["Metadata"], {}, "metadata")


@case("object: the last modification is now")
def modified(target):
    target.put("modified", b"x")
    age = datetime.datetime.now(datetime.timezone.utc) - target.head("modified")["LastModified"]
    expect(abs(age) < datetime.timedelta(minutes=2), f"the object is {age} old")


def _register_sizes():
    sizes = [0, 1, 15, 65_535, 65_536, 65_537, 131_072, MIB - 1, MIB, MIB + 1, 3 * MIB + 7]
    for size in sizes:

        @case(f"object: {size} bytes")
        def check(target, size=size):
            body = pattern(size, size)
            answer = target.put(f"size/{size}", body)
            target.check_etag(answer["ETag"], body)
            same_bytes(target.body(f"size/{size}"), body)
            equal(target.head(f"size/{size}")["ContentLength"], size, "HEAD length")
            listed = target.client.list_objects_v2(Bucket=target.bucket, Prefix=f"size/{size}")["Contents"]
            equal([item["Size"] for item in listed if item["Key"] == f"size/{size}"], [size], "listed size")


_register_sizes()


@case("object: one that is missing is NoSuchKey")
def missing(target):
    refused(lambda: target.get("missing"), 404, "NoSuchKey")
    refused(lambda: target.head("missing"), 404, "404")
    refused(lambda: target.get("missing", Range="bytes=0-1"), 404, "NoSuchKey")


@case("object: response-* parameters override headers")
def overrides(target):
    target.put("overrides", b"x", **HEADERS)
    found = target.get(
        "overrides",
        ResponseContentType="text/override",
        ResponseContentLanguage="fr",
        ResponseCacheControl="private",
        ResponseContentDisposition="inline",
        ResponseContentEncoding="identity",
    )
    equal(
        [found.get(name) for name in HEADERS], ["text/override", "private", "inline", "identity", "fr"], "headers"
    )


@case("object: 900 bytes of user metadata")
def much_metadata(target):
    metadata = {f"name-{index}": "v" * 80 for index in range(10)}
    target.put("much-metadata", b"x", Metadata=metadata)
    equal(target.head("much-metadata")["Metadata"], metadata, "metadata")


@case("object: 1,900 bytes of user metadata are kept or refused as too large")
def most_metadata(target):
    metadata = {"name": "v" * 1_900}
    if target.difference("room for user metadata"):
        refused(lambda: target.put("most-metadata", b"x", Metadata=metadata), 400, "MetadataTooLarge")
        refused(lambda: target.head("most-metadata"), 404)
    else:
        target.put("most-metadata", b"x", Metadata=metadata)
        equal(target.head("most-metadata")["Metadata"], metadata, "metadata")


@case("object: user metadata with a name of 256 bytes is kept or refused as too large")
def long_name(target):
    metadata = {"n" * 256: "value"}
    if target.difference("room for user metadata"):
        refused(lambda: target.put("long-name", b"x", Metadata=metadata), 400, "MetadataTooLarge")
        refused(lambda: target.head("long-name"), 404)
    else:
        target.put("long-name", b"x", Metadata=metadata)
        equal(target.head("long-name")["Metadata"], metadata, "metadata")


@case("object: more than 2 KB of user metadata are refused")
def too_much_metadata(target):
    refused(lambda: target.put("too-much", b"x", Metadata={f"n{i}": "v" * 500 for i in range(8)}), 400, "MetadataTooLarge")
    refused(lambda: target.head("too-much"), 404)


@case("object: a reader of the old body is not disturbed by a new one")
def overwritten_while_read(target):
    first = pattern(1, 8 * MIB)
    target.put("while-read", first)
    answer = target.get("while-read")
    start = answer["Body"].read(1_000)
    target.put("while-read", b"new")
    same_bytes(start + answer["Body"].read(), first)
    equal(target.body("while-read"), b"new", "new body")


@case("object: of two writers at once, one wins whole")
def two_writers(target):
    bodies = [pattern(seed, 2 * MIB) for seed in (1, 2)]
    failures = []

    def write(body):
        try:
            target.connect().put_object(Bucket=target.bucket, Key="two-writers", Body=body)
        except Exception as error:  # it is reported below
            failures.append(error)

    writers = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    equal(failures, [], "failures")
    expect(target.body("two-writers") in bodies, "the body is neither of the two")


@case("object: Content-MD5 that fits is accepted, one that does not is BadDigest")
def content_md5(target):
    target.put("md5-right", b"hello", ContentMD5="XUFAKrxLKna5cZ2REBfFkg==")
    equal(target.body("md5-right"), b"hello", "body")
    refused(lambda: target.put("md5-wrong", b"other", ContentMD5="XUFAKrxLKna5cZ2REBfFkg=="), 400, "BadDigest")
    refused(lambda: target.put("md5-broken", b"hello", ContentMD5="not base64"), 400, "InvalidDigest")
    refused(lambda: target.head("md5-wrong"), 404)
    refused(lambda: target.head("md5-broken"), 404)


@case("object: another client's signature is refused")
def wrong_secret(target):
    import boto3

    target.put("signed", b"x")
    stranger = boto3.client(
        "s3", endpoint_url=target.endpoint, aws_access_key_id="NOSUCHKEY", aws_secret_access_key="x" * 20
    )
    refused(lambda: stranger.get_object(Bucket=target.bucket, Key="signed"), 403, "InvalidAccessKeyId")
