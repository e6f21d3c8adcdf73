"""Buckets with versions."""

import datetime

from .suite import MIB, PART, case, equal, expect, pattern, refused, same_bytes, with_headers

KINDS = {"small": 70_000, "large": 2 * MIB}


class Versioned:
    """A bucket with versions, and short forms of what is done there."""

    def __init__(self, target, status="Enabled"):
        self.target = target
        self.client = target.client
        self.bucket = target.new_bucket()
        if status:
            self.set(status)

    def set(self, status):
        self.client.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": status})

    def put(self, key, body, **arguments):
        return self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **arguments).get("VersionId")

    def get(self, key, version=None, **arguments):
        if version is not None:
            arguments["VersionId"] = version
        return self.client.get_object(Bucket=self.bucket, Key=key, **arguments)

    def body(self, key, version=None, **arguments):
        return self.get(key, version, **arguments)["Body"].read()

    def head(self, key, version=None, **arguments):
        if version is not None:
            arguments["VersionId"] = version
        return self.client.head_object(Bucket=self.bucket, Key=key, **arguments)

    def delete(self, key, version=None, **arguments):
        if version is not None:
            arguments["VersionId"] = version
        return self.client.delete_object(Bucket=self.bucket, Key=key, **arguments)

    def copy(self, key, source, version=None, **arguments):
        source = {"Bucket": self.bucket, "Key": source}
        if version is not None:
            source["VersionId"] = version
        return self.client.copy_object(Bucket=self.bucket, Key=key, CopySource=source, **arguments)

    def upload(self, key, *bodies, **arguments):
        upload = self.client.create_multipart_upload(Bucket=self.bucket, Key=key, **arguments)["UploadId"]
        parts = []
        for number, body in enumerate(bodies, 1):
            answer = self.client.upload_part(
                Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body
            )
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        return self.client.complete_multipart_upload(
            Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
        )

    def versions(self, **arguments):
        return self.client.list_object_versions(Bucket=self.bucket, **arguments)


def header(answer, name):
    return answer["ResponseMetadata"]["HTTPHeaders"].get(name)


@case("version: a bucket's state is kept")
def state(target):
    bucket = Versioned(target, None)
    asked = lambda: target.client.get_bucket_versioning(Bucket=bucket.bucket).get("Status")
    equal(asked(), None, "state of a new bucket")
    for status in ("Enabled", "Suspended", "Enabled"):
        bucket.set(status)
        equal(asked(), status, "state")


def _register_kinds():
    for kind, size in KINDS.items():

        @case(f"version: each of three {kind} objects is read by its id")
        def read(target, size=size):
            bucket = Versioned(target)
            bodies = [pattern(seed, size) for seed in (61, 62, 63)]
            versions = [bucket.put("k", body, Metadata={"n": str(n)}) for n, body in enumerate(bodies)]
            equal(len({*versions}), 3, f"number of ids in {versions}")
            for n, (version, body) in enumerate(zip(versions, bodies)):
                found = bucket.get("k", version)
                same_bytes(found["Body"].read(), body, f"version {n}")
                equal((found["VersionId"], found["Metadata"]), (version, {"n": str(n)}), f"GET of version {n}")
                head = bucket.head("k", version)
                equal(
                    (head["VersionId"], head["Metadata"], head["ContentLength"], head["ETag"]),
                    (version, {"n": str(n)}, size, found["ETag"]),
                    f"HEAD of version {n}",
                )
            same_bytes(bucket.body("k"), bodies[2], "the current version")
            equal((bucket.get("k")["VersionId"], bucket.head("k")["VersionId"]), (versions[2], versions[2]), "current")

        @case(f"version: ranges of {kind} versions in turn")
        def ranges(target, size=size):
            # All of one length, two with the same bytes: whatever is remembered of one must not serve for another.
            bucket = Versioned(target)
            bodies = [pattern(seed, size) for seed in (64, 65, 64)]
            versions = [bucket.put("k", body) for body in bodies]
            for _ in range(2):
                for version, body in zip(versions, bodies):
                    for first, last in ((3, 9), (65_530, 65_540), (size - 5, size - 1)):
                        found = bucket.get("k", version, Range=f"bytes={first}-{last}")
                        same_bytes(found["Body"].read(), body[first : last + 1], f"bytes {first}-{last}")
                        equal(found["ContentRange"], f"bytes {first}-{last}/{size}", "Content-Range")
                        equal(found["VersionId"], version, "version")

        @case(f"version: conditions look at the {kind} version that is named")
        def conditions(target, size=size):
            bucket = Versioned(target)
            versions = [bucket.put("k", pattern(seed, size)) for seed in (66, 67)]
            tags = [bucket.head("k", version)["ETag"] for version in versions]
            expect(tags[0] != tags[1], "two versions have one entity tag")
            for call in (bucket.get, bucket.head):
                equal(call("k", versions[0], IfMatch=tags[0])["VersionId"], versions[0], "version")
                refused(lambda call=call: call("k", versions[0], IfMatch=tags[1]), 412)
                refused(lambda call=call: call("k", versions[0], IfNoneMatch=tags[0]), 304)
                refused(lambda call=call: call("k", IfMatch=tags[0]), 412)

        @case(f"version: an older {kind} one is copied, and restored by a copy onto itself")
        def restore(target, size=size):
            bucket = Versioned(target)
            old, new = pattern(68, size), pattern(69, size)
            first = bucket.put("k", old, Metadata={"n": "old"}, ContentType="text/old")
            second = bucket.put("k", new, Metadata={"n": "new"})
            answer = bucket.copy("elsewhere", "k", first)
            equal(answer.get("VersionId"), bucket.head("elsewhere")["VersionId"], "version of the copy")
            same_bytes(bucket.body("elsewhere"), old)
            answer = bucket.copy("k", "k", first)
            equal(bucket.head("k")["VersionId"], answer["VersionId"], "version")
            expect(answer["VersionId"] not in (first, second), "the copy is no new version")
            same_bytes(bucket.body("k"), old)
            head = bucket.head("k")
            equal((head["Metadata"], head["ContentType"]), ({"n": "old"}, "text/old"))
            same_bytes(bucket.body("k", second), new)


_register_kinds()


@case("version: multipart objects")
def multipart(target):
    bucket = Versioned(target)
    bodies = [[pattern(seed, PART), pattern(seed + 1, 70_000)] for seed in (71, 73)]
    answers = [bucket.upload("k", *parts, Metadata={"n": str(n)}) for n, parts in enumerate(bodies)]
    versions = [answer["VersionId"] for answer in answers]
    third = bucket.put("k", b"third")
    equal(len({*versions, third}), 3, "number of ids")
    for n, (version, parts) in enumerate(zip(versions, bodies)):
        found = bucket.get("k", version)
        same_bytes(found["Body"].read(), b"".join(parts), f"version {n}")
        equal((found["VersionId"], found["Metadata"]), (version, {"n": str(n)}))
        equal((found["ETag"], bucket.head("k", version)["ETag"]), (answers[n]["ETag"],) * 2, "entity tag")
        part = bucket.get("k", version, PartNumber=2)
        same_bytes(part["Body"].read(), parts[1], "part 2")
        equal((part["PartsCount"], part["ContentRange"]), (2, f"bytes {PART}-{PART + 69_999}/{PART + 70_000}"))
        border = bucket.body("k", version, Range=f"bytes={PART - 2}-{PART + 1}")
        same_bytes(border, parts[0][-2:] + parts[1][:2], "bytes across the border")
    answer = bucket.copy("k", "k", versions[0])
    same_bytes(bucket.body("k", answer["VersionId"]), b"".join(bodies[0]), "restored")


@case("version: parts are copied from the version that is named")
def part_copy(target):
    bucket = Versioned(target)
    old, new = pattern(75, PART), pattern(76, PART)
    first, second = bucket.put("source", old), bucket.put("source", new)
    upload = target.client.create_multipart_upload(Bucket=bucket.bucket, Key="k")["UploadId"]
    parts = []
    for number, version in enumerate((first, None, second), 1):
        source = {"Bucket": bucket.bucket, "Key": "source"} | ({"VersionId": version} if version else {})
        last = {"CopySourceRange": "bytes=10-99"} if number == 3 else {}
        answer = target.client.upload_part_copy(
            Bucket=bucket.bucket, Key="k", UploadId=upload, PartNumber=number, CopySource=source, **last
        )
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    target.client.complete_multipart_upload(
        Bucket=bucket.bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    same_bytes(bucket.body("k"), old + new + new[10:100])


@case("version: a copy says which version it is of")
def copied_version(target):
    bucket = Versioned(target)
    versions = [bucket.put("k", body) for body in (b"first", b"second")]
    for named, version in ((versions[0], versions[0]), (None, versions[1])):
        equal(bucket.copy("copy", "k", named).get("CopySourceVersionId"), version, "version of the source")
    upload = target.client.create_multipart_upload(Bucket=bucket.bucket, Key="m")["UploadId"]
    source = {"Bucket": bucket.bucket, "Key": "k", "VersionId": versions[0]}
    answer = target.client.upload_part_copy(
        Bucket=bucket.bucket, Key="m", UploadId=upload, PartNumber=1, CopySource=source
    )
    equal(answer.get("CopySourceVersionId"), versions[0], "version of the source of a part")


@case("version: an id that never was is NoSuchVersion")
def unknown(target):
    bucket = Versioned(target)
    gone = bucket.put("k", b"gone")
    bucket.delete("k", gone)
    bucket.put("k", b"here")
    refused(lambda: bucket.get("k", gone), 404, "NoSuchVersion")
    refused(lambda: bucket.head("k", gone), 404, "404")
    refused(lambda: bucket.get("k", gone, Range="bytes=0-1"), 404, "NoSuchVersion")
    refused(lambda: bucket.copy("copy", "k", gone), 404, "NoSuchVersion")
    refused(lambda: bucket.get("k", "no version at all"), 400, "InvalidArgument")


@case("version: a copy from an id that is none is refused")
def copied_from_none(target):
    bucket = Versioned(target)
    bucket.put("k", b"here")
    refusal = (400, "InvalidArgument") if target.difference("version of a copy's source") else (404, "NoSuchVersion")
    for version in ("01BX5ZZKBKACTAV9WEVGEMMVRZ", "no version at all"):
        refused(lambda version=version: bucket.copy("copy", "k", version), *refusal)
    upload = target.client.create_multipart_upload(Bucket=bucket.bucket, Key="m")["UploadId"]
    source = {"Bucket": bucket.bucket, "Key": "k", "VersionId": "01BX5ZZKBKACTAV9WEVGEMMVRZ"}
    copy = lambda: target.client.upload_part_copy(
        Bucket=bucket.bucket, Key="m", UploadId=upload, PartNumber=1, CopySource=source
    )
    refused(copy, *refusal)


@case("version: DELETE leaves a marker, and the versions stay")
def marker(target):
    bucket = Versioned(target)
    version = bucket.put("k", b"kept")
    answer = bucket.delete("k")
    equal((answer["DeleteMarker"], answer["ResponseMetadata"]["HTTPStatusCode"]), (True, 204))
    marker = answer["VersionId"]
    expect(marker != version, "the marker has the id of the object")
    for name, call, code in (("GET", bucket.get, "NoSuchKey"), ("HEAD", bucket.head, "404")):
        answer = refused(lambda call=call: call("k"), 404, code)
        equal(header(answer, "x-amz-delete-marker"), "true", f"marker of {name}")
        equal(header(answer, "x-amz-version-id"), marker, f"version of {name}")
    answer = refused(lambda: bucket.get("k", Range="bytes=0-1"), 404, "NoSuchKey")
    equal(header(answer, "x-amz-delete-marker"), "true", "marker of GET with a range")
    equal(bucket.body("k", version), b"kept", "body")
    equal(target.client.list_objects_v2(Bucket=bucket.bucket)["KeyCount"], 0, "number of keys")
    refused(lambda: bucket.copy("copy", "k"), 404, "NoSuchKey")
    refused(lambda: target.client.delete_bucket(Bucket=bucket.bucket), 409, "BucketNotEmpty")


@case("version: GET and HEAD of a marker by its id are MethodNotAllowed")
def marker_by_id(target):
    bucket = Versioned(target)
    bucket.put("k", b"kept")
    marker = bucket.delete("k")["VersionId"]
    for name, call, code in (("GET", bucket.get, "MethodNotAllowed"), ("HEAD", bucket.head, "405")):
        answer = refused(lambda call=call: call("k", marker), 405, code)
        equal(header(answer, "x-amz-delete-marker"), "true", f"marker of {name}")
        equal(header(answer, "x-amz-version-id"), marker, f"version of {name}")


@case("version: who reads a marker by its id is told how old it is")
def marker_age(target):
    bucket = Versioned(target)
    bucket.put("k", b"kept")
    marker = bucket.delete("k")["VersionId"]
    modified = bucket.versions()["DeleteMarkers"][0]["LastModified"].replace(microsecond=0)
    for call in (bucket.get, bucket.head):
        answer = refused(lambda call=call: call("k", marker), 405)
        stated = header(answer, "last-modified") or "Thu, 01 Jan 1970 00:00:00 GMT"
        stated = datetime.datetime.strptime(stated, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=datetime.timezone.utc)
        equal(stated, modified, "Last-Modified")


@case("version: who reads a marker by its id is told what is allowed")
def marker_allows(target):
    bucket = Versioned(target)
    bucket.put("k", b"kept")
    marker = bucket.delete("k")["VersionId"]
    for call in (bucket.get, bucket.head):
        answer = refused(lambda call=call: call("k", marker), 405)
        equal(header(answer, "allow"), "DELETE", "Allow")


@case("version: a copy of a marker by its id is refused")
def marker_copied(target):
    bucket = Versioned(target)
    bucket.put("k", b"kept")
    marker = bucket.delete("k")["VersionId"]
    refused(lambda: bucket.copy("copy", "k", marker), 400, "InvalidRequest")


@case("version: a marker that is deleted brings the object back")
def marker_deleted(target):
    bucket = Versioned(target)
    version = bucket.put("k", b"kept")
    marker = bucket.delete("k")["VersionId"]
    answer = bucket.delete("k", marker)
    equal((answer["DeleteMarker"], answer["VersionId"]), (True, marker))
    equal((bucket.body("k"), bucket.head("k")["VersionId"]), (b"kept", version))


@case("version: one that is deleted is gone, and the one before is current")
def version_deleted(target):
    bucket = Versioned(target)
    first, second = bucket.put("k", b"first"), bucket.put("k", b"second")
    answer = bucket.delete("k", second)
    equal((answer.get("DeleteMarker"), answer["VersionId"]), (None, second))
    equal((bucket.body("k"), bucket.head("k")["VersionId"]), (b"first", first))
    refused(lambda: bucket.get("k", second), 404, "NoSuchVersion")
    equal([version["VersionId"] for version in bucket.versions()["Versions"]], [first], "versions")


@case("version: listed with sizes, entity tags, markers and which is current")
def listed(target):
    bucket = Versioned(target)
    expected = []
    for size in (0, 5, 70_000, 2 * MIB):
        expected.append((bucket.put("k", pattern(77, size)), size))
    answer = bucket.upload("k", pattern(78, PART), b"end")
    expected.append((answer["VersionId"], PART + 3))
    marker = bucket.delete("k")["VersionId"]
    last = bucket.put("k", b"last")
    expected.append((last, 4))
    other = bucket.put("other", b"other")
    found = bucket.versions()
    of_k = [version for version in found["Versions"] if version["Key"] == "k"]
    equal([(version["VersionId"], version["Size"]) for version in of_k], expected[::-1], "versions")
    for version in of_k:
        equal(version["ETag"], bucket.head("k", version["VersionId"])["ETag"], "entity tag")
        equal(version["IsLatest"], version["VersionId"] == last, "whether it is current")
    equal([(m["Key"], m["VersionId"], m["IsLatest"]) for m in found["DeleteMarkers"]], [("k", marker, False)], "markers")
    equal([(v["VersionId"], v["Size"]) for v in found["Versions"] if v["Key"] == "other"], [(other, 5)], "the other key")
    listed = target.client.list_objects_v2(Bucket=bucket.bucket)["Contents"]
    equal([(item["Key"], item["Size"]) for item in listed], [("k", 4), ("other", 5)], "listing of current objects")


@case("version: listed in pages")
def pages(target):
    bucket = Versioned(target)
    expected = []
    for key in ("a", "b/c", "b/d"):
        mine = [bucket.put(key, b"x" * n) for n in (1, 2)]
        mine.append(bucket.delete(key)["VersionId"])
        expected += [(key, version) for version in mine[::-1]]
    for size in (1, 2, 4):
        found, markers = [], {}
        for _ in range(20):
            page = bucket.versions(MaxKeys=size, **markers)
            entries = page.get("Versions", []) + page.get("DeleteMarkers", [])
            expect(len(entries) <= size, f"{len(entries)} entries in a page of {size}")
            found += [(entry["Key"], entry["VersionId"]) for entry in entries]
            if not page["IsTruncated"]:
                break
            markers = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
        equal(sorted(found), sorted(expected), f"pages of {size}")
    after = bucket.versions(KeyMarker="a")
    equal({entry["Key"] for entry in after["Versions"]}, {"b/c", "b/d"}, "keys after a marker")


@case("version: listed with a prefix and a delimiter")
def prefixes(target):
    bucket = Versioned(target)
    for key in ("a/1", "a/2", "b", "c/1"):
        for size in (1, 2):
            bucket.put(key, b"x" * size)
    found = bucket.versions(Delimiter="/")
    equal([prefix["Prefix"] for prefix in found["CommonPrefixes"]], ["a/", "c/"], "common prefixes")
    equal([(v["Key"], v["Size"]) for v in found["Versions"]], [("b", 2), ("b", 1)], "versions")
    found = bucket.versions(Prefix="a/")
    equal([(v["Key"], v["Size"]) for v in found["Versions"]], [("a/1", 2), ("a/1", 1), ("a/2", 2), ("a/2", 1)])


@case("version: listed with names that need an encoding")
def encoded(target):
    bucket = Versioned(target)
    keys = ["a b+c", "line\nfeed", "x<y>&z", "ü%41"]
    versions = {key: bucket.put(key, key.encode()) for key in keys}
    found = bucket.versions(EncodingType="url")["Versions"]
    # boto3 decodes the keys only where it asked for the encoding itself.
    import urllib.parse

    decoded = {urllib.parse.unquote_plus(v["Key"]): (v["VersionId"], v["Size"]) for v in found}
    equal(decoded, {key: (versions[key], len(key.encode())) for key in keys}, "versions")
    found = bucket.versions()["Versions"]
    equal({v["Key"]: v["VersionId"] for v in found}, versions, "versions, decoded by the client")


@case("version: DeleteObjects leaves markers, and deletes versions that are named")
def delete_objects(target):
    bucket = Versioned(target)
    first, second = bucket.put("k", b"first"), bucket.put("k", b"second")
    bucket.put("j", b"j")
    delete = lambda *objects: target.client.delete_objects(Bucket=bucket.bucket, Delete={"Objects": list(objects)})
    answer = delete({"Key": "k", "VersionId": second}, {"Key": "j"})
    deleted = {entry["Key"]: entry for entry in answer["Deleted"]}
    equal(answer.get("Errors", []), [], "errors")
    equal((deleted["k"]["VersionId"], deleted["k"].get("DeleteMarker")), (second, None), "a version")
    equal(deleted["j"]["DeleteMarker"], True, "a key")
    marker = deleted["j"]["DeleteMarkerVersionId"]
    equal(bucket.body("k"), b"first", "body")
    refused(lambda: bucket.get("j"), 404, "NoSuchKey")
    answer = delete({"Key": "j", "VersionId": marker}, {"Key": "k", "VersionId": first})
    equal(answer.get("Errors", []), [], "errors")
    deleted = {entry["Key"]: entry for entry in answer["Deleted"]}
    equal(deleted["j"]["VersionId"], marker, f"a marker, in {deleted}")
    equal(bucket.body("j"), b"j", "body")
    equal([v["Key"] for v in bucket.versions()["Versions"]], ["j"], "versions")


@case("version: an object from before has the version null")
def null(target):
    bucket = Versioned(target, None)
    for key, body in (("small", b"before"), ("large", pattern(79, 2 * MIB))):
        bucket.put(key, body)
    bucket.set("Enabled")
    for key, body in (("small", b"before"), ("large", pattern(79, 2 * MIB))):
        bucket.put(key, b"after")
        same_bytes(bucket.body(key, "null"), body)
        equal(bucket.head(key, "null")["ContentLength"], len(body), "length")
        equal(bucket.body(key, "null", Range="bytes=1-3"), body[1:4], "range")
        equal(bucket.body(key), b"after", "current")
        ids = [(v["VersionId"], v["Size"]) for v in bucket.versions(Prefix=key)["Versions"]]
        equal(ids[1], ("null", len(body)), "the older version")
        bucket.copy(f"copy/{key}", key, "null")
        same_bytes(bucket.body(f"copy/{key}"), body, "copy")
    bucket.delete("small", "null")
    refused(lambda: bucket.get("small", "null"), 404, "NoSuchVersion")


@case("version: suspended, a PUT replaces the version null and no other")
def suspended(target):
    bucket = Versioned(target)
    kept = bucket.put("k", b"kept")
    bucket.set("Suspended")
    for size in (10, 2 * MIB, 20):
        body = pattern(80, size)
        equal(bucket.put("k", body) or "null", "null", "version")
        same_bytes(bucket.body("k"), body, "current")
        same_bytes(bucket.body("k", "null"), body, "null")
        same_bytes(bucket.body("k", "null", Range="bytes=2-5"), body[2:6], "range of null")
    equal(bucket.body("k", kept), b"kept", "the older version")
    equal([(v["VersionId"], v["Size"]) for v in bucket.versions()["Versions"]], [("null", 20), (kept, 4)], "versions")


@case("version: suspended, a DELETE leaves a marker with the version null")
def suspended_marker(target):
    bucket = Versioned(target)
    kept = bucket.put("k", b"kept")
    bucket.set("Suspended")
    bucket.put("k", b"replaced")
    answer = bucket.delete("k")
    equal(answer.get("VersionId") or "null", "null", "version of the marker")
    refused(lambda: bucket.get("k"), 404, "NoSuchKey")
    found = bucket.versions()
    equal([(v["VersionId"], v["IsLatest"]) for v in found["Versions"]], [(kept, False)], "versions")
    equal([(m["VersionId"], m["IsLatest"]) for m in found["DeleteMarkers"]], [("null", True)], "markers")


@case("version: each has its own tags")
def tags(target):
    bucket = Versioned(target)
    client, name = target.client, bucket.bucket
    versions = [bucket.put("k", b"x", Tagging=f"n={n}") for n in (1, 2)]
    read = lambda **more: client.get_object_tagging(Bucket=name, Key="k", **more)["TagSet"]
    for n, version in enumerate(versions, 1):
        equal(read(VersionId=version), [{"Key": "n", "Value": str(n)}], f"tags of version {n}")
        equal(bucket.head("k", version)["ResponseMetadata"]["HTTPHeaders"].get("x-amz-tagging-count"), "1", "count")
    tag = {"TagSet": [{"Key": "changed", "Value": "yes"}]}
    answer = client.put_object_tagging(Bucket=name, Key="k", VersionId=versions[0], Tagging=tag)
    equal(answer.get("VersionId"), versions[0], "version")
    equal(read(VersionId=versions[0]), tag["TagSet"], "tags of the first")
    equal(read(), [{"Key": "n", "Value": "2"}], "tags of the current one")
    client.delete_object_tagging(Bucket=name, Key="k", VersionId=versions[1])
    equal((read(), read(VersionId=versions[0])), ([], tag["TagSet"]), "tags after deletion")
    equal([bucket.body("k", version) for version in versions], [b"x", b"x"], "bodies")


@case("version: its tags go along with a copy of it, also into another bucket")
def tags_of_copy(target):
    bucket = Versioned(target)
    first = bucket.put("k", b"x", Tagging="n=1")
    bucket.put("k", b"y", Tagging="n=2")
    for to in (bucket.bucket, target.bucket):
        for version, number in ((first, "1"), (None, "2")):
            source = {"Bucket": bucket.bucket, "Key": "k", **({"VersionId": version} if version else {})}
            target.client.copy_object(Bucket=to, Key="version/copied", CopySource=source)
            tags = target.client.get_object_tagging(Bucket=to, Key="version/copied")["TagSet"]
            equal(tags, [{"Key": "n", "Value": number}], f"tags in {to}")


@case("version: tags of an id that never was are NoSuchVersion")
def tags_of_unknown(target):
    bucket = Versioned(target)
    gone = bucket.put("k", b"gone")
    bucket.delete("k", gone)
    bucket.put("k", b"here")
    tagging = {"TagSet": [{"Key": "a", "Value": "b"}]}
    arguments = {"Bucket": bucket.bucket, "Key": "k", "VersionId": gone}
    refused(lambda: target.client.get_object_tagging(**arguments), 404, "NoSuchVersion")
    refused(lambda: target.client.put_object_tagging(**arguments, Tagging=tagging), 404, "NoSuchVersion")


@case("version: the ACL of each can be read")
def acl(target):
    bucket = Versioned(target)
    for version in [bucket.put("k", b"x"), bucket.put("k", b"y")]:
        found = target.client.get_object_acl(Bucket=bucket.bucket, Key="k", VersionId=version)
        equal([grant["Permission"] for grant in found["Grants"]], ["FULL_CONTROL"], "grants")


@case("version: conditional writes look at the current version")
def conditional_writes(target):
    bucket = Versioned(target)
    first = bucket.put("k", b"first", IfNoneMatch="*")
    refused(lambda: bucket.put("k", b"x", IfNoneMatch="*"), 412, "PreconditionFailed")
    tag = bucket.head("k")["ETag"]
    bucket.put("k", b"second", IfMatch=tag)
    refused(lambda: bucket.put("k", b"third", IfMatch=tag), 412, "PreconditionFailed")
    bucket.delete("k")
    bucket.put("k", b"anew", IfNoneMatch="*")
    equal((bucket.body("k"), bucket.body("k", first)), (b"anew", b"first"))
    equal(len(bucket.versions()["Versions"]), 3, "number of versions")


@case("version: an empty versionId is refused")
def empty_id(target):
    bucket = Versioned(target)
    bucket.put("k", b"x")
    client = target.connect()
    client.meta.events.register(
        "before-sign.s3.GetObject", lambda request, **_: setattr(request, "url", request.url + "?versionId=")
    )
    refused(lambda: client.get_object(Bucket=bucket.bucket, Key="k"), 400, "InvalidArgument")


@case("version: a HEAD by who pays passes")
def payer(target):
    bucket = Versioned(target)
    version = bucket.put("k", b"x", RequestPayer="requester")
    client = with_headers(target.connect(), "HeadObject", {"x-amz-request-payer": "requester"})
    equal(client.head_object(Bucket=bucket.bucket, Key="k", VersionId=version)["ContentLength"], 1, "length")
