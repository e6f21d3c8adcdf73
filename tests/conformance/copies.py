"""CopyObject and UploadPartCopy."""

from .suite import MIB, PART, case, describe, equal, expect, pattern, refused, same_bytes


def _copy(target, key, source, bucket=None, **arguments):
    source = source if isinstance(source, dict) else {"Bucket": target.bucket, "Key": source}
    return target.client.copy_object(Bucket=bucket or target.bucket, Key=key, CopySource=source, **arguments)


def _source(target):
    target.put("copy/source", b"hello world", Metadata={"foo": "bar"}, ContentType="text/x-source", CacheControl="no-store")
    return "copy/source"


@case("copy: to another key keeps headers and metadata")
def plain(target):
    answer = _copy(target, "copy/plain", _source(target))
    head = target.head("copy/plain")
    equal((head["Metadata"], head["ContentType"], head["CacheControl"]), ({"foo": "bar"}, "text/x-source", "no-store"))
    equal(target.body("copy/plain"), b"hello world", "body")
    equal(answer["CopyObjectResult"]["ETag"], head["ETag"], "entity tag")


def _register_kinds():
    for name, body in {"empty": b"", "1 MiB + 1": pattern(21, MIB + 1), "3 MiB": pattern(22, 3 * MIB)}.items():

        @case(f"copy: an object of {name}")
        def check(target, name=name, body=body):
            target.put(f"copy/{name}", body, Metadata={"a": "b"})
            _copy(target, f"copy/copied {name}", f"copy/{name}")
            same_bytes(target.body(f"copy/copied {name}"), body)
            equal(target.head(f"copy/copied {name}")["Metadata"], {"a": "b"}, "metadata")


_register_kinds()


@case("copy: a multipart object")
def multipart(target):
    body = pattern(23, PART + 1_000)
    target.upload("copy/multipart", body[:PART], body[PART:], Metadata={"m": "p"}, ContentType="text/m")
    _copy(target, "copy/of-multipart", "copy/multipart")
    same_bytes(target.body("copy/of-multipart"), body)
    head = target.head("copy/of-multipart")
    equal((head["Metadata"], head["ContentType"]), ({"m": "p"}, "text/m"))


@case("copy: REPLACE takes the request's headers and metadata")
def replace(target):
    _copy(
        target,
        "copy/replaced",
        _source(target),
        MetadataDirective="REPLACE",
        Metadata={"n": "2"},
        ContentType="text/n2",
    )
    head = target.head("copy/replaced")
    equal((head["Metadata"], head["ContentType"], head.get("CacheControl")), ({"n": "2"}, "text/n2", None))
    equal(target.body("copy/replaced"), b"hello world", "body")


@case("copy: onto itself with REPLACE changes the metadata")
def itself(target):
    target.put("copy/itself", b"same", Metadata={"old": "1"})
    _copy(
        target, "copy/itself", "copy/itself", MetadataDirective="REPLACE", Metadata={"new": "1"}, ContentType="text/new"
    )
    head = target.head("copy/itself")
    equal((head["Metadata"], head["ContentType"]), ({"new": "1"}, "text/new"))
    equal(target.body("copy/itself"), b"same", "body")


@case("copy: onto itself without a change is InvalidRequest")
def itself_unchanged(target):
    target.put("copy/unchanged", b"same")
    refused(lambda: _copy(target, "copy/unchanged", "copy/unchanged"), 400, "InvalidRequest")


@case("copy: into another bucket")
def other_bucket(target):
    bucket = target.new_bucket()
    _copy(target, "copied", _source(target), bucket=bucket)
    found = target.client.get_object(Bucket=bucket, Key="copied")
    equal((found["Body"].read(), found["Metadata"]), (b"hello world", {"foo": "bar"}))


@case("copy: sources with odd names")
def odd_names(target):
    for key in ("copy/sp ace", "copy/pl+us", "copy/ü", "copy/pct%20", "copy/q?m=1"):
        target.put(key, key.encode())
        _copy(target, "copy/odd", key)
        equal(target.body("copy/odd"), key.encode(), f"copy of {key}")


@case("copy: a source with an empty segment")
def empty_segment(target):
    target.put("copy//empty", b"x")
    _copy(target, "copy/of-empty", "copy//empty")
    equal(target.body("copy/of-empty"), b"x", "body")


@case("copy: a source that is missing is NoSuchKey")
def missing(target):
    refused(lambda: _copy(target, "copy/none", "copy/missing"), 404, "NoSuchKey")
    refused(lambda: _copy(target, "copy/none", {"Bucket": "no-such-bucket-here", "Key": "x"}), 404, "NoSuchBucket")
    refused(lambda: target.head("copy/none"), 404)


@case("copy: conditions on the source")
def conditions(target):
    tag = target.head(_source(target))["ETag"]
    _copy(target, "copy/conditional", "copy/source", CopySourceIfMatch=tag)
    _copy(target, "copy/conditional", "copy/source", CopySourceIfNoneMatch='"0"')
    refused(lambda: _copy(target, "copy/x", "copy/source", CopySourceIfMatch='"0"'), 412, "PreconditionFailed")
    refused(lambda: _copy(target, "copy/x", "copy/source", CopySourceIfNoneMatch=tag), 412, "PreconditionFailed")
    refused(lambda: target.head("copy/x"), 404)


@case("copy: tags are copied, or replaced")
def tags(target):
    target.put("copy/tagged", b"x", Tagging="a=b")
    _copy(target, "copy/tags-kept", "copy/tagged")
    _copy(target, "copy/tags-new", "copy/tagged", TaggingDirective="REPLACE", Tagging="c=d")
    found = [
        target.client.get_object_tagging(Bucket=target.bucket, Key=key)["TagSet"]
        for key in ("copy/tags-kept", "copy/tags-new")
    ]
    equal(found, [[{"Key": "a", "Value": "b"}], [{"Key": "c", "Value": "d"}]], "tags")


def _tags(target, key, bucket=None):
    tags = target.client.get_object_tagging(Bucket=bucket or target.bucket, Key=key)["TagSet"]
    return sorted((tag["Key"], tag["Value"]) for tag in tags)


@case("copy: tags go along into another bucket, or are replaced")
def tags_in_other_bucket(target):
    bucket = target.new_bucket()
    source = [("a", "1 +="), ("b", "")]
    for size in (1, 3 * MIB):
        target.put("copy/tagged-far", bytes(size), Tagging="a=1%20%2B%3D&b=")
        _copy(target, "kept", "copy/tagged-far", bucket=bucket)
        equal(_tags(target, "kept", bucket), source, "tags of a copy")
        _copy(target, "new", "copy/tagged-far", bucket=bucket, TaggingDirective="REPLACE", Tagging="c=d")
        equal(_tags(target, "new", bucket), [("c", "d")], "tags of a copy with its own")
        _copy(target, "bare", "copy/tagged-far", bucket=bucket, TaggingDirective="REPLACE")
        equal(_tags(target, "bare", bucket), [], "tags of a copy without any")


@case("copy: tags go along with a copy that gets another checksum")
def tags_with_checksum(target):
    target.put("copy/tagged-sum", pattern(29, 2 * MIB), Tagging="a=b")
    _copy(target, "copy/tags-summed", "copy/tagged-sum", ChecksumAlgorithm="SHA256")
    equal(_tags(target, "copy/tags-summed"), [("a", "b")], "tags")


def _copy_part(target, key, upload, number, source, **arguments):
    answer = target.client.upload_part_copy(
        Bucket=target.bucket,
        Key=key,
        UploadId=upload,
        PartNumber=number,
        CopySource={"Bucket": target.bucket, "Key": source},
        **arguments,
    )
    return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}


@case("part copy: whole objects and ranges as parts")
def part_copy(target):
    body = pattern(24, 2 * PART + 500)
    target.put("copy/large", body)
    key = "copy/from-parts"
    upload = target.client.create_multipart_upload(Bucket=target.bucket, Key=key)["UploadId"]
    parts = [
        _copy_part(target, key, upload, 1, "copy/large"),
        _copy_part(target, key, upload, 2, "copy/large", CopySourceRange=f"bytes=100-{PART + 199}"),
        _copy_part(target, key, upload, 3, "copy/large", CopySourceRange="bytes=65530-65545"),
    ]
    target.complete(key, upload, parts)
    same_bytes(target.body(key), body + body[100 : PART + 200] + body[65_530:65_546])


@case("part copy: from a multipart object, across its parts")
def part_copy_of_multipart(target):
    body = pattern(25, PART + 2_000)
    target.upload("copy/parts-source", body[:PART], body[PART:])
    key = "copy/across"
    upload = target.client.create_multipart_upload(Bucket=target.bucket, Key=key)["UploadId"]
    part = _copy_part(target, key, upload, 1, "copy/parts-source", CopySourceRange=f"bytes={PART - 10}-{PART + 9}")
    target.complete(key, upload, [part])
    same_bytes(target.body(key), body[PART - 10 : PART + 10])


@case("part copy: a range beyond the source is refused")
def part_copy_beyond(target):
    _source(target)
    key = "copy/beyond"
    upload = target.client.create_multipart_upload(Bucket=target.bucket, Key=key)["UploadId"]
    # AWS answers 400; a storage that says 416 refuses it as well.
    for header in ("bytes=0-99", "bytes=20-30"):
        try:
            _copy_part(target, key, upload, 1, "copy/source", CopySourceRange=header)
        except target.client.exceptions.ClientError as error:
            expect(error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 416), describe(error))
        else:
            expect(False, f"{header} was accepted")
    target.client.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload)


@case("part copy: a source that is missing is NoSuchKey")
def part_copy_missing(target):
    key = "copy/part-of-nothing"
    upload = target.client.create_multipart_upload(Bucket=target.bucket, Key=key)["UploadId"]
    refused(lambda: _copy_part(target, key, upload, 1, "copy/missing"), 404, "NoSuchKey")
    target.client.abort_multipart_upload(Bucket=target.bucket, Key=key, UploadId=upload)
