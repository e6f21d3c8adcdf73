"""Keys of every legal kind."""

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
    "only dots": "..",
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
}


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


_register()


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
