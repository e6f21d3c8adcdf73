"""Keys of every legal kind."""

import urllib.parse

from .presigned import _fetch
from .suite import case, equal, expect

KEYS = {
    "space": "sp ace/x y",
    "plus": "plus+a+b",
    "Unicode": "ünï/日本語-é.txt",
    "Unicode not normalised": "e\u0301 and \u00e9",
    "outside of the basic plane": "emoji/😀.bin",
    "empty segment": "a//b",
    "trailing slash": "dir/sub/",
    "leading slash": "/lead",
    "percent": "pct%20x%2F%",
    "query and fragment": "q?m=1&n#h",
    "dot segments": "dot/../x",
    "single dot": "./y",
    "only dots": "...",
    "punctuation": "tilde~*'()!$,:;=@[]{}|^`\"\\<>",
    "200 bytes in one segment": "k" * 200,
    "201 segments": "l/" * 100 + "e",
    "1,000 bytes": "K" * 1_000,
    "1,024 bytes": "m/" * 512,
    "line feed": "new\nline",
    "tab": "tab\tkey",
    "control character": "control\x01key",
    "what looks like ours": "sealgate/registry/uploads",
    "XML special characters": "<a>&amp;\"'</a>",
    "trailing space": "trailing ",
    "leading space": " leading",
    "percent-encoded slash": "a%2Fb",
    "percent-encoded plus and space": "a%2Bb%20c",
    "double-encoded": "a%252Fb",
    "only a plus": "+",
    "only a space": " ",
    "carriage return": "return\rand\r\nfeed",
    "delete character": "delete\x7f",
    "all of XML's": "<&>\"'\t\n\r]]>",
    "no character of XML": "\ufffe\uffff",
    "C1 control character": "next\x85line",
    "invisible characters": "zero\u200bwidth\u202e",
    "emoji in one segment": "😀" * 50,
    "backslashes": "dir\\file",
    "looks like a version": "key?versionId=null",
    "looks like a sub-resource": "key?uploads&acl",
    "looks like our headers": "x-amz-meta-sealgate",
    "trailing dots": "dir./file..",
    "two leading slashes": "//",
    "only a slash": "/",
    "1,024 bytes of emoji": "😀/" * 204 + "abcd",
}

# What the same key must pass beside PUT, GET, HEAD, DELETE and listings: fewer of them, as each costs a dozen requests.
USED_EVERYWHERE = [
    "space",
    "plus",
    "Unicode not normalised",
    "outside of the basic plane",
    "empty segment",
    "trailing slash",
    "leading slash",
    "percent",
    "query and fragment",
    "dot segments",
    "only dots",
    "punctuation",
    "1,024 bytes",
    "control character",
    "percent-encoded slash",
    "percent-encoded plus and space",
    "carriage return",
    "all of XML's",
    "no character of XML",
    "backslashes",
    "looks like a version",
    "two leading slashes",
]


def _register():
    for name, key in KEYS.items():

        @case(f"key: {name}")
        def check(target, key=key):
            # A bucket of its own: some storages can't have this key beside others.
            bucket = target.new_bucket()
            client = target.client
            body = key.encode() + b"!"
            client.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"a": "1"})
            equal(client.get_object(Bucket=bucket, Key=key)["Body"].read(), body, "body")
            head = client.head_object(Bucket=bucket, Key=key)
            equal((head["Metadata"], head["ContentLength"]), ({"a": "1"}, len(body)), "HEAD")
            for listing in (client.list_objects_v2, client.list_objects):
                listed = [(item["Key"], item["Size"]) for item in listing(Bucket=bucket).get("Contents", [])]
                equal(listed, [(key, len(body))], "listing")
            client.delete_object(Bucket=bucket, Key=key)
            equal(client.list_objects_v2(Bucket=bucket).get("Contents"), None, "listing after deletion")
            client.delete_bucket(Bucket=bucket)

    for name in USED_EVERYWHERE:

        @case(f"key: {name}, in copies, multipart uploads, presigned URLs and DeleteObjects")
        def everywhere(target, key=KEYS[name]):
            _use_everywhere(target, target.new_bucket(), key)


def _use_everywhere(target, bucket, key):
    client = target.client
    sign = lambda operation: client.generate_presigned_url(operation, Params={"Bucket": bucket, "Key": key})
    status, _, answer = _fetch(sign("put_object"), method="PUT", body=b"presigned", Content_Type="")
    equal(status, 200, f"status of a presigned PUT ({answer[:300]})")
    equal(_fetch(sign("get_object"))[::2], (200, b"presigned"), "presigned GET")

    listed = lambda **more: [item["Key"] for item in client.list_objects_v2(Bucket=bucket, **more).get("Contents", [])]
    equal(listed(Prefix=key), [key], "listing by prefix")
    equal(listed(StartAfter=key), [], "listing after the key")
    markers = client.list_objects(Bucket=bucket, Marker=key).get("Contents", [])
    equal(markers, [], "listing after the key as a marker")

    client.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    equal(client.get_object(Bucket=bucket, Key="copy")["Body"].read(), b"presigned", "copy from the key")
    client.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": "copy"}, ContentType="text/copied")
    equal(client.get_object(Bucket=bucket, Key=key)["Body"].read(), b"presigned", "copy to the key")

    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    uploads = client.list_multipart_uploads(Bucket=bucket, Prefix=key, EncodingType="url").get("Uploads", [])
    uploads = [(urllib.parse.unquote_plus(found["Key"]), found["UploadId"]) for found in uploads]
    equal(uploads, [(key, upload)], "open uploads")
    part = client.upload_part_copy(
        Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, CopySource={"Bucket": bucket, "Key": key}
    )["CopyPartResult"]
    answer = client.complete_multipart_upload(
        Bucket=bucket,
        Key=key,
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    # No XML document can hold every character of a key (XML 1.0, section 2.2), and this one has no encoding-type.
    if all(character >= " " and character < "\ufffe" for character in key):
        equal(answer["Key"], key, "key that Complete names")
    equal(client.get_object(Bucket=bucket, Key=key)["Body"].read(), b"presigned", "multipart object")

    client.delete_object(Bucket=bucket, Key="copy")
    if all(character >= " " and character < "\ufffe" for character in key):
        answer = client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
        equal([entry["Key"] for entry in answer.get("Deleted", [])], [key], "deleted keys")
        equal(listed(), [], "listing after DeleteObjects")
    else:
        client.delete_object(Bucket=bucket, Key=key)


_register()


@case("key: normal forms of Unicode are kept apart")
def normal_forms(target):
    composed, decomposed = "forms/\u00e9", "forms/e\u0301"
    target.put(composed, b"composed")
    target.put(decomposed, b"decomposed")
    equal((target.body(composed), target.body(decomposed)), (b"composed", b"decomposed"), "bodies")
    listed = target.client.list_objects_v2(Bucket=target.bucket, Prefix="forms/")["Contents"]
    equal(sorted(item["Key"] for item in listed), sorted([composed, decomposed]), "keys")


@case("key: an encoded slash is no slash")
def encoded_slash(target):
    target.put("slash%2Fb", b"encoded")
    target.put("slash/b", b"slash")
    equal((target.body("slash%2Fb"), target.body("slash/b")), (b"encoded", b"slash"), "bodies")
    found = target.client.list_objects_v2(Bucket=target.bucket, Prefix="slash", Delimiter="/")
    equal([item["Key"] for item in found["Contents"]], ["slash%2Fb"], "keys")
    equal([prefix["Prefix"] for prefix in found["CommonPrefixes"]], ["slash/"], "common prefixes")


@case("key: plus and space are kept apart")
def plus_and_space(target):
    for key in ("sep+x", "sep x", "sep%20x", "sep%2Bx"):
        target.put(key, key.encode())
    for key in ("sep+x", "sep x", "sep%20x", "sep%2Bx"):
        equal(target.body(key), key.encode(), "body")
        target.client.copy_object(
            Bucket=target.bucket, Key="sep/copy", CopySource={"Bucket": target.bucket, "Key": key}
        )
        equal(target.body("sep/copy"), key.encode(), f"copy of {key}")


@case("key: 'a' and 'a/b' can both be objects")
def prefix_of_another(target):
    target.put("both", b"1")
    target.put("both/b", b"2")
    equal((target.body("both"), target.body("both/b")), (b"1", b"2"), "bodies")


@case("key: 'a//b' and 'a/b' differ")
def slashes(target):
    target.put("slashes//b", b"1")
    target.put("slashes/b", b"2")
    equal((target.body("slashes//b"), target.body("slashes/b")), (b"1", b"2"), "bodies")


@case("key: a percent-encoded name is not the decoded one")
def percent(target):
    target.put("percent%41", b"encoded")
    target.put("percentA", b"decoded")
    equal((target.body("percent%41"), target.body("percentA")), (b"encoded", b"decoded"), "bodies")


@case("key: 1,025 bytes are too long")
def too_long(target):
    try:
        target.put("x" * 1_025, b"x")
    except target.client.exceptions.ClientError as error:
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 400, "status")
        equal(error.response["Error"]["Code"], "KeyTooLongError", "code")
        return
    expect(False, "the key was accepted")


@case("key: case matters")
def case_matters(target):
    target.put("CASE", b"upper")
    target.put("case", b"lower")
    equal((target.body("CASE"), target.body("case")), (b"upper", b"lower"), "bodies")
