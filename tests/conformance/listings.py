"""Listings with every parameter. Sizes and entity tags must be those of GET."""

from .suite import PART, case, equal, expect, pattern, refused

KEYS = sorted(["b", "a/1", "a/2", "a/b/3", "a-0", "c/1", "c/2", "d", "B", "a.txt", "sp ace", "pl+us", "ü/1"])
BODY = b"123"


def _bucket(target):
    """A bucket with these keys, made once for each target."""
    if not hasattr(target, "listed"):
        target.listed = target.new_bucket()
        for key in KEYS:
            target.client.put_object(Bucket=target.listed, Key=key, Body=BODY)
    return target.listed


def _list(target, **arguments):
    return target.client.list_objects_v2(Bucket=_bucket(target), **arguments)


def _keys(answer):
    return [item["Key"] for item in answer.get("Contents", [])]


def _prefixes(answer):
    return [item["Prefix"] for item in answer.get("CommonPrefixes", [])]


@case("listing: all keys in the order of their bytes")
def everything(target):
    answer = _list(target)
    equal(_keys(answer), sorted(KEYS, key=str.encode), "keys")
    equal((answer["KeyCount"], answer["IsTruncated"], answer["Name"]), (len(KEYS), False, _bucket(target)))


@case("listing: sizes, entity tags and times are those of HEAD")
def attributes(target):
    for item in _list(target)["Contents"]:
        head = target.client.head_object(Bucket=_bucket(target), Key=item["Key"])
        equal((item["Size"], item["ETag"]), (head["ContentLength"], head["ETag"]), f"attributes of {item['Key']}")
        difference = abs((item["LastModified"] - head["LastModified"]).total_seconds())
        expect(difference < 2, f"times differ by {difference} s")
        target.check_etag(item["ETag"], BODY)


@case("listing: sizes of multipart objects are those of HEAD")
def multipart_sizes(target):
    body = pattern(8, PART + 12_345)
    target.upload("listed/multipart", body[:PART], body[PART:])
    item = target.client.list_objects_v2(Bucket=target.bucket, Prefix="listed/multipart")["Contents"][0]
    head = target.head("listed/multipart")
    equal((item["Size"], item["ETag"]), (len(body), head["ETag"]), "attributes")


@case("listing: prefixes, on a border and not")
def prefixes(target):
    for prefix in ("a/", "a", "B", "sp ", "pl+", "ü/", "none", "a/b/3"):
        equal(_keys(_list(target, Prefix=prefix)), [key for key in KEYS if key.startswith(prefix)], f"keys of {prefix}")


@case("listing: delimiter /")
def delimiter(target):
    answer = _list(target, Delimiter="/")
    equal(_keys(answer), [key for key in KEYS if "/" not in key], "keys")
    equal(_prefixes(answer), ["a/", "c/", "ü/"], "prefixes")
    equal(answer["KeyCount"], len(_keys(answer)) + 3, "count")


@case("listing: delimiter and prefix")
def delimiter_and_prefix(target):
    answer = _list(target, Delimiter="/", Prefix="a/")
    equal((_keys(answer), _prefixes(answer)), (["a/1", "a/2"], ["a/b/"]))


@case("listing: another delimiter")
def other_delimiter(target):
    equal(_prefixes(_list(target, Delimiter="1")), ["a/1", "c/1", "ü/1"], "prefixes")


@case("listing: start-after")
def start_after(target):
    equal(_keys(_list(target, StartAfter="a/2")), [key for key in KEYS if key > "a/2"], "keys")


@case("listing: pages by continuation token")
def pages(target):
    pages = [
        _keys(page)
        for page in target.client.get_paginator("list_objects_v2").paginate(
            Bucket=_bucket(target), PaginationConfig={"PageSize": 2}
        )
    ]
    equal(pages, [KEYS[start : start + 2] for start in range(0, len(KEYS), 2)], "pages")


@case("listing: pages with a delimiter")
def pages_with_delimiter(target):
    seen, arguments = [], {}
    for _ in range(20):
        answer = _list(target, MaxKeys=2, Delimiter="/", **arguments)
        page = _keys(answer) + _prefixes(answer)
        expect(len(page) <= 2, f"a page of {len(page)}")
        seen += page
        if not answer["IsTruncated"]:
            break
        arguments = {"ContinuationToken": answer["NextContinuationToken"]}
    equal(sorted(seen), sorted([key for key in KEYS if "/" not in key] + ["a/", "c/", "ü/"]), "everything")


@case("listing: a page of none")
def no_keys(target):
    answer = _list(target, MaxKeys=0)
    equal((_keys(answer), answer["IsTruncated"]), ([], False))


@case("listing: encoding-type url")
def url_encoding(target):
    # boto3 asks for it by itself and decodes; asked for by the caller it stays encoded.
    answer = _list(target, EncodingType="url", Prefix="sp")
    expect(_keys(answer)[0] in ("sp+ace", "sp%20ace"), f"keys are {_keys(answer)}")
    equal(answer.get("EncodingType"), "url", "encoding type")
    answer = _list(target, EncodingType="url", Prefix="pl")
    equal(_keys(answer), ["pl%2Bus"], "keys")


@case("listing: owners where they are asked for")
def owners(target):
    answer = _list(target, FetchOwner=True)
    expect(all("Owner" in item for item in answer["Contents"]), "an owner is missing")
    expect(all("Owner" not in item for item in _list(target)["Contents"]), "an owner is there")


@case("listing: version 1 with markers")
def version_1(target):
    answer = target.client.list_objects(Bucket=_bucket(target), Marker=KEYS[1], MaxKeys=2)
    equal((_keys(answer), answer["IsTruncated"], answer["Marker"]), (KEYS[2:4], True, KEYS[1]))
    equal([item["Size"] for item in answer["Contents"]], [3, 3], "sizes")
    for item in answer["Contents"]:
        target.check_etag(item["ETag"], BODY)


@case("listing: version 1 in pages with a delimiter")
def version_1_pages(target):
    seen, marker = [], ""
    for _ in range(20):
        answer = target.client.list_objects(Bucket=_bucket(target), Marker=marker, MaxKeys=3, Delimiter="/")
        seen += _keys(answer) + _prefixes(answer)
        if not answer["IsTruncated"]:
            break
        marker = answer["NextMarker"]
    equal(sorted(seen), sorted([key for key in KEYS if "/" not in key] + ["a/", "c/", "ü/"]), "everything")


@case("listing: of an empty bucket")
def empty(target):
    answer = target.client.list_objects_v2(Bucket=target.new_bucket())
    equal((answer["KeyCount"], answer.get("Contents"), answer["IsTruncated"]), (0, None, False))


@case("listing: a bucket that is missing is NoSuchBucket")
def missing(target):
    refused(lambda: target.client.list_objects_v2(Bucket="no-such-bucket-here"), 404, "NoSuchBucket")
    refused(lambda: target.client.list_objects(Bucket="no-such-bucket-here"), 404, "NoSuchBucket")


@case("listing: a token that is no token is refused")
def bad_token(target):
    refused(lambda: _list(target, ContinuationToken="!!"), 400, "InvalidArgument")


@case("listing: versions of a bucket without versioning")
def versions(target):
    answer = target.client.list_object_versions(Bucket=_bucket(target), Prefix="a/")
    equal([(item["Key"], item["Size"]) for item in answer["Versions"]], [("a/1", 3), ("a/2", 3), ("a/b/3", 3)])
    for item in answer["Versions"]:
        target.check_etag(item["ETag"], BODY)
