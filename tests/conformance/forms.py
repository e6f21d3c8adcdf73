"""Browser uploads: forms with a signed policy."""

import datetime
import json
import re
import urllib.error
import urllib.parse
import urllib.request
import uuid

from .suite import MIB, case, equal, expect, pattern, refused, same_bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _encode(fields, body, filename="x.txt", behind=(), tail="\r\n"):
    """A form as browsers write it: the fields, the file, and what a test puts behind it."""
    boundary = f"----form{uuid.uuid4().hex}"
    pieces = []

    def add(name, value, more=""):
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
        pieces.append(head.encode() + (value if isinstance(value, bytes) else value.encode()) + b"\r\n")

    for name, value in fields:
        add(name, value)
    if body is not None:
        add("file", body, f'; filename="{filename}"')
    for name, value in behind:
        add(name, value)
    pieces.append(f"--{boundary}--{tail}".encode())
    return b"".join(pieces), f"multipart/form-data; boundary={boundary}"


def _post(target, fields, body, headers=(), bucket=None, **form):
    """Sends a form. Returns status, headers and body of the answer."""
    data, kind = _encode(fields, body, **form)
    request = urllib.request.Request(
        f"{target.endpoint}/{bucket or target.bucket}", data=data, method="POST", headers={"Content-Type": kind, **dict(headers)}
    )
    try:
        with _opener.open(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def _signed(target, key, extra=None, conditions=(), expires=300):
    """The fields of a form that may upload this key."""
    extra = extra or {}
    post = target.client.generate_presigned_post(
        target.bucket, key, Fields=dict(extra), Conditions=[*conditions, *({k: v} for k, v in extra.items())], ExpiresIn=expires
    )
    return list(post["fields"].items())


def _code(body):
    found = re.search(rb"<Code>(.*?)</Code>", body)
    return found.group(1).decode() if found else None


def _missing(target, key):
    refused(lambda: target.head(key), 404)


@case("rule 25: a form uploads its file")
def upload(target):
    for size in (0, 5, 2 * MIB, 3 * MIB + 17):
        body = pattern(71, size)
        key = f"form/{size}"
        status, headers, answer = _post(target, _signed(target, key), body)
        equal(status, 204, f"status of {size} bytes ({answer[:300]})")
        same_bytes(target.body(key), body)
        equal(headers["ETag"], target.head(key)["ETag"], "entity tag")


@case("rule 25: the name of the file goes into the key")
def filename(target):
    status, _, answer = _post(
        target, _signed(target, "form/user/${filename}"), b"named", filename="a b ü.txt"
    )
    equal(status, 204, f"status ({answer[:300]})")
    equal(target.body("form/user/a b ü.txt"), b"named", "body")


@case("rule 25: metadata and type of a form's object")
def metadata(target):
    extra = {"Content-Type": "image/x", "x-amz-meta-color": "red", "Cache-Control": "no-store"}
    status, _, answer = _post(target, _signed(target, "form/metadata", extra), b"x")
    equal(status, 204, f"status ({answer[:300]})")
    head = target.head("form/metadata")
    equal((head["ContentType"], head["Metadata"], head["CacheControl"]), ("image/x", {"color": "red"}, "no-store"))


@case("rule 25: tags of a form's object")
def tags(target):
    tagging = "<Tagging><TagSet><Tag><Key>k 1</Key><Value>v</Value></Tag></TagSet></Tagging>"
    status, _, answer = _post(target, _signed(target, "form/tags", {"tagging": tagging}), b"x")
    equal(status, 204, f"status ({answer[:300]})")
    tags = target.client.get_object_tagging(Bucket=target.bucket, Key="form/tags")["TagSet"]
    equal(tags, [{"Key": "k 1", "Value": "v"}], "tags")


@case("rule 25: success is answered with the status that the form wants")
def statuses(target):
    for wanted, expected in (("200", 200), ("201", 201), ("204", 204)):
        fields = _signed(target, f"form/status-{wanted}", {"success_action_status": wanted})
        status, headers, answer = _post(target, fields, b"x")
        equal(status, expected, f"status ({answer[:300]})")
        if wanted == "201":
            for piece in (f"<Bucket>{target.bucket}</Bucket>", "<Key>form/status-201</Key>", "<ETag>", "<Location>"):
                expect(piece.encode() in answer, f"{piece} is not in {answer[:400]}")


@case("rule 25: success is answered with a redirect that the policy allows")
def redirect(target):
    there = "http://127.0.0.1:9/done?a=b"
    fields = _signed(target, "form/redirect", {"success_action_redirect": there})
    status, headers, answer = _post(target, fields, b"x")
    equal(status, 303, f"status ({answer[:300]})")
    expect(headers["Location"].startswith(there), f"Location is {headers['Location']}")
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(headers["Location"]).query)
    equal((query["bucket"], query["key"]), ([target.bucket], ["form/redirect"]), "query")


@case("rule 25: a redirect that the policy does not mention is refused")
def redirect_of_others(target):
    fields = _signed(target, "form/open-redirect") + [("success_action_redirect", "http://127.0.0.1:9/evil")]
    status, headers, _ = _post(target, fields, b"x")
    equal(status, 403, "status")
    expect("Location" not in headers, "there is a Location")
    _missing(target, "form/open-redirect")


@case("rule 25: a condition that does not hold leaves no object")
def conditions(target):
    good = _signed(target, "form/conditions", {"acl": "private"}, [["starts-with", "$Content-Type", "image/"]])
    good.append(("Content-Type", "image/png"))
    for name, fields in {
        "another key": [(n, "form/other" if n == "key" else v) for n, v in good],
        "another ACL": [(n, "public-read" if n == "acl" else v) for n, v in good],
        "another type": [(n, "text/html" if n == "Content-Type" else v) for n, v in good],
        "no ACL": [(n, v) for n, v in good if n != "acl"],
        "metadata that the policy does not mention": good + [("x-amz-meta-extra", "1")],
    }.items():
        status, _, answer = _post(target, fields, b"x")
        equal((status, _code(answer)), (403, "AccessDenied"), f"answer with {name}")
    _missing(target, "form/conditions")
    _missing(target, "form/other")
    status, _, answer = _post(target, good, b"x")
    equal(status, 204, f"status of the good one ({answer[:300]})")


@case("rule 25: the length of the file has two bounds")
def lengths(target):
    key = "form/lengths"
    fields = _signed(target, key, conditions=[["content-length-range", 2, 1500000]])
    for size, code in ((1, "EntityTooSmall"), (1500001, "EntityTooLarge"), (3 * MIB, "EntityTooLarge")):
        status, _, answer = _post(target, fields, pattern(72, size))
        equal((status, _code(answer)), (400, code), f"answer to {size} bytes")
        _missing(target, key)
    equal(_post(target, fields, b"12")[0], 204, "status of 2 bytes")


@case("rule 25: a policy that expired is refused")
def expired(target):
    import time

    fields = _signed(target, "form/expired", expires=1)
    time.sleep(2)
    equal(_post(target, fields, b"x")[0], 403, "status")
    _missing(target, "form/expired")


@case("rule 25: an altered policy or signature is refused")
def altered(target):
    fields = dict(_signed(target, "form/altered"))
    import base64

    policy = json.loads(base64.b64decode(fields["policy"]))
    policy["conditions"].append({"x-amz-meta-a": "b"})
    forged = base64.b64encode(json.dumps(policy).encode()).decode()
    signature = fields["x-amz-signature"]
    for name, change in {
        "policy": {"policy": forged},
        "signature": {"x-amz-signature": signature[:-1] + ("0" if signature[-1] != "0" else "1")},
        "credential": {"x-amz-credential": "NOBODY" + fields["x-amz-credential"]},
    }.items():
        status, _, answer = _post(target, list({**fields, **change}.items()), b"x")
        equal(status, 403, f"status with another {name} ({answer[:200]})")
    _missing(target, "form/altered")


@case("rule 25: a form without a policy is refused")
def unsigned(target):
    status = _post(target, [("key", "form/unsigned")], b"x")[0]
    expect(status in (400, 403), f"status is {status}")
    _missing(target, "form/unsigned")


@case("rule 25: a form without a file is refused")
def without_file(target):
    status, _, _ = _post(target, _signed(target, "form/no-file"), None)
    equal(status, 400, "status")
    _missing(target, "form/no-file")


@case("rule 25: a small file may be followed by a button")
def button(target):
    status, _, answer = _post(target, _signed(target, "form/button"), b"x", behind=[("submit", "Upload")])
    equal(status, 204, f"status ({answer[:300]})")
    equal(target.body("form/button"), b"x", "body")


@case("rule 25: a form for another bucket is refused")
def other_bucket(target):
    other = target.new_bucket()
    fields = _signed(target, "form/other-bucket")
    equal(_post(target, fields, b"x", bucket=other)[0], 403, "status")
    refused(lambda: target.client.head_object(Bucket=other, Key="form/other-bucket"), 404)


@case("rule 25: the checksum in a form is verified")
def checksum(target):
    for value, expected in (("rQO6gw==", 204), ("AAAAAA==", 400)):
        key = f"form/checksum-{expected}"
        fields = _signed(target, key, {"x-amz-checksum-crc32": value})
        status, _, answer = _post(target, fields, b"checked")
        equal(status, expected, f"status ({answer[:300]})")
    _missing(target, "form/checksum-400")
