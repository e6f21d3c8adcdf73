"""Presigned URLs, used without an SDK."""

import urllib.error
import urllib.parse
import urllib.request

from .suite import MIB, case, equal, expect, pattern, same_bytes


def _url(target, operation, key, expires=300, client=None, **parameters):
    return (client or target.client).generate_presigned_url(
        operation, Params={"Bucket": target.bucket, "Key": key, **parameters}, ExpiresIn=expires
    )


def _fetch(url, method="GET", body=None, **headers):
    """Status, headers and body of an answer, whatever its status."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=headers)  # http of the rig
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@case("presigned: GET")
def get(target):
    target.put("presigned/get", b"hello", ContentType="text/x")
    status, headers, body = _fetch(_url(target, "get_object", "presigned/get"))
    equal((status, headers["content-type"], body), (200, "text/x", b"hello"))


@case("presigned: GET of a range and with odd names")
def get_range(target):
    target.put("presigned/sp ace+ü/x", b"hello world")
    url = _url(target, "get_object", "presigned/sp ace+ü/x")
    equal(_fetch(url, Range="bytes=2-5")[::2], (206, b"llo "))


@case("presigned: GET with a response header of its own")
def get_override(target):
    target.put("presigned/override", b"x")
    url = _url(target, "get_object", "presigned/override", ResponseContentType="text/override")
    equal(_fetch(url)[1]["content-type"], "text/override", "content type")


@case("presigned: HEAD")
def head(target):
    target.put("presigned/head", b"hello")
    status, headers, body = _fetch(_url(target, "head_object", "presigned/head"), method="HEAD")
    equal((status, headers["content-length"], body), (200, "5", b""))


@case("presigned: PUT")
def put(target):
    for size in (5, 2 * MIB):
        body = pattern(31, size)
        key = f"presigned/put-{size}"
        status, _, answer = _fetch(_url(target, "put_object", key), method="PUT", body=body, Content_Type="text/p")
        equal(status, 200, f"status ({answer[:200]})")
        same_bytes(target.body(key), body)


@case("presigned: a checksum in the query of a PUT is without effect")
def put_checksum_of_nothing(target):
    """As SDKs sign it that have no body yet: the checksum of an empty one."""
    key = "presigned/put-checksum"
    parameters = {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-sdk-checksum-algorithm": "CRC32"}

    def add(request, **_):
        request.url += "?" + urllib.parse.urlencode(parameters)

    client = target.connect()
    client.meta.events.register("before-sign.s3.PutObject", add)
    url = _url(target, "put_object", key, client=client)
    expect("x-amz-checksum-crc32=AAAAAA%3D%3D" in url, f"the URL is {url}")
    status, _, answer = _fetch(url, method="PUT", body=b"hello", Content_Type="")
    equal(status, 200, f"status ({answer[:200]})")
    equal(target.body(key), b"hello", "body")


@case("presigned: PUT of a part")
def put_part(target):
    key = "presigned/part"
    upload = target.client.create_multipart_upload(Bucket=target.bucket, Key=key)["UploadId"]
    url = _url(target, "upload_part", key, UploadId=upload, PartNumber=1)
    status, headers, answer = _fetch(url, method="PUT", body=b"part", Content_Type="")
    equal(status, 200, f"status ({answer[:200]})")
    target.complete(key, upload, [{"PartNumber": 1, "ETag": headers["ETag"]}])
    equal(target.body(key), b"part", "body")


@case("presigned: DELETE")
def delete(target):
    target.put("presigned/delete", b"x")
    equal(_fetch(_url(target, "delete_object", "presigned/delete"), method="DELETE")[0], 204, "status")
    equal(_fetch(_url(target, "get_object", "presigned/delete"))[0], 404, "status")


@case("presigned: an altered URL is refused")
def altered(target):
    target.put("presigned/a", b"a")
    target.put("presigned/b", b"b")
    url = _url(target, "get_object", "presigned/a")
    for name, changed in {
        "key": url.replace("presigned/a", "presigned/b"),
        "lifetime": url.replace("X-Amz-Expires=300", "X-Amz-Expires=301"),
        "parameter": url + "&response-content-type=text/evil",
        "signature": url[:-1] + ("0" if url[-1] != "0" else "1"),
    }.items():
        expect(changed != url, f"{name} is as it was")
        status, _, body = _fetch(changed)
        equal(status, 403, f"status with another {name}")
        expect(b"SignatureDoesNotMatch" in body, f"answer to another {name} is {body[:200]}")
    equal(_fetch(url, method="DELETE")[0], 403, "status with another method")
    equal(target.body("presigned/a"), b"a", "body")


@case("presigned: a URL that expired is refused")
def expired(target):
    import time

    target.put("presigned/expired", b"x")
    url = _url(target, "get_object", "presigned/expired", expires=1)
    time.sleep(2.5)
    status, _, body = _fetch(url)
    equal(status, 403, "status")
    expect(b"AccessDenied" in body, f"answer is {body[:200]}")


@case("presigned: user metadata in the signature")
def metadata(target):
    url = _url(target, "put_object", "presigned/metadata", Metadata={"k": "v"}, ContentType="text/m")
    status, _, answer = _fetch(url, method="PUT", body=b"x", x_amz_meta_k="v", Content_Type="text/m")
    equal(status, 200, f"status ({answer[:200]})")
    head = target.head("presigned/metadata")
    equal((head["Metadata"], head["ContentType"]), ({"k": "v"}, "text/m"))
