"""Presigned URLs, used without an SDK."""

import datetime
import re
import urllib.error
import urllib.parse
import urllib.request

from .suite import MIB, PART, case, equal, expect, pattern, same_bytes


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


def _signed_headers(url):
    """The headers that whoever uses the URL must send; signers move others into the query."""
    return urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["X-Amz-SignedHeaders"][0].split(";")


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


@case("presigned: a whole multipart upload")
def multipart(target):
    key = "presigned/multipart"
    body = pattern(32, PART + 1_000)
    status, _, answer = _fetch(_url(target, "create_multipart_upload", key), method="POST", body=b"", Content_Type="")
    equal(status, 200, f"status of Create ({answer[:200]})")
    upload = re.search("<UploadId>(.*)</UploadId>", answer.decode())[1]
    document = "<CompleteMultipartUpload>"
    for number, part in enumerate((body[:PART], body[PART:]), 1):
        url = _url(target, "upload_part", key, UploadId=upload, PartNumber=number)
        status, headers, answer = _fetch(url, method="PUT", body=part, Content_Type="")
        equal(status, 200, f"status of part {number} ({answer[:200]})")
        document += f"<Part><PartNumber>{number}</PartNumber><ETag>{headers['etag']}</ETag></Part>"
    status, _, answer = _fetch(_url(target, "list_parts", key, UploadId=upload))
    equal((status, answer.count(b"<Part>")), (200, 2), "ListParts")
    document = f"{document}</CompleteMultipartUpload>".encode()
    url = _url(target, "complete_multipart_upload", key, UploadId=upload)
    status, _, answer = _fetch(url, method="POST", body=document, Content_Type="")
    equal(status, 200, f"status of Complete ({answer[:200]})")
    same_bytes(target.body(key), body)
    for part, expected in ((1, body[:PART]), (2, body[PART:])):
        status, headers, found = _fetch(_url(target, "get_object", key, PartNumber=part))
        equal((status, headers["x-amz-mp-parts-count"]), (206, "2"), f"GET of part {part}")
        same_bytes(found, expected)


@case("presigned: abort of a multipart upload")
def abort(target):
    key = "presigned/abort"
    upload = target.client.create_multipart_upload(Bucket=target.bucket, Key=key)["UploadId"]
    url = _url(target, "abort_multipart_upload", key, UploadId=upload)
    equal(_fetch(url, method="DELETE")[0], 204, "status")
    equal(target.client.list_multipart_uploads(Bucket=target.bucket, Prefix=key).get("Uploads"), None, "uploads")


@case("presigned: GET and HEAD with every response header of its own")
def every_override(target):
    target.put("presigned/overrides", b"x", ContentType="text/own", CacheControl="no-store")
    own = {
        "ResponseContentType": "text/override; charset=utf-8",
        "ResponseContentLanguage": "fr",
        "ResponseCacheControl": "private, max-age=1",
        "ResponseContentDisposition": "attachment; filename=\"a b+c.txt\"",
        "ResponseContentEncoding": "identity",
        "ResponseExpires": datetime.datetime(2031, 1, 2, 3, 4, 5),
    }
    for operation, method in (("get_object", "GET"), ("head_object", "HEAD")):
        status, headers, _ = _fetch(_url(target, operation, "presigned/overrides", **own), method=method)
        equal(status, 200, "status")
        for name, value in own.items():
            name = re.sub("(?<!^)([A-Z])", r"-\1", name.removeprefix("Response")).lower()
            expected = "Thu, 02 Jan 2031 03:04:05 GMT" if name == "expires" else value
            equal(headers[name], expected, f"{name} of {method}")


@case("presigned: GET, HEAD and DELETE of a version")
def version(target):
    bucket = target.new_bucket()
    client = target.client
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = [client.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"] for body in (b"first", b"second")]

    def sign(operation, version):
        parameters = {"Bucket": bucket, "Key": "k", "VersionId": version}
        return client.generate_presigned_url(operation, Params=parameters, ExpiresIn=300)

    for version, body in zip(versions, (b"first", b"second")):
        status, headers, found = _fetch(sign("get_object", version))
        equal((status, headers["x-amz-version-id"], found), (200, version, body), "GET")
        status, headers, _ = _fetch(sign("head_object", version), method="HEAD")
        equal((status, headers["x-amz-version-id"], headers["content-length"]), (200, version, str(len(body))), "HEAD")
    altered = sign("get_object", versions[0]).replace(versions[0], versions[1])
    equal(_fetch(altered)[0], 403, "status of a URL for another version")
    equal(_fetch(sign("delete_object", versions[1]), method="DELETE")[0], 204, "DELETE")
    equal(client.get_object(Bucket=bucket, Key="k")["Body"].read(), b"first", "body")


@case("presigned: PUT with a checksum of the body")
def checksum(target):
    for name, right, wrong in (
        ("ChecksumCRC32", "DUoRhQ==", "AAAAAA=="),
        ("ChecksumSHA256", "uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ):
        header = f"x-amz-checksum-{name.removeprefix('Checksum').lower()}"
        for value, status in ((right, 200), (wrong, 400)):
            key = f"presigned/checksum-{name}-{status}"
            url = _url(target, "put_object", key, **{name: value})
            more = {header: value} if header in _signed_headers(url) else {}
            found, _, answer = _fetch(url, method="PUT", body=b"hello world", Content_Type="", **more)
            equal(found, status, f"status with {name} {value} ({answer[:300]})")
            if status == 200:
                equal(target.body(key), b"hello world", "body")
            else:
                equal(_fetch(_url(target, "head_object", key), method="HEAD")[0], 404, "status of HEAD")


@case("presigned: PUT with tags, a class and an ACL in the signature")
def labelled(target):
    url = _url(
        target, "put_object", "presigned/labelled", Tagging="a=b", ACL="private", StorageClass="REDUCED_REDUNDANCY"
    )
    headers = {"x-amz-tagging": "a=b", "x-amz-acl": "private", "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    sent = {name: value for name, value in headers.items() if name in _signed_headers(url)}
    status, _, answer = _fetch(url, method="PUT", body=b"x", Content_Type="", **sent)
    equal(status, 200, f"status ({answer[:200]})")
    tags = target.client.get_object_tagging(Bucket=target.bucket, Key="presigned/labelled")["TagSet"]
    equal(tags, [{"Key": "a", "Value": "b"}], "tags")
    equal(target.head("presigned/labelled").get("StorageClass"), "REDUCED_REDUNDANCY", "class")


@case("presigned: conditions travel as headers")
def conditions(target):
    tag = target.put("presigned/conditions", b"x")["ETag"]
    url = _url(target, "get_object", "presigned/conditions")
    equal(_fetch(url, If_None_Match=tag)[0], 304, "status")
    equal(_fetch(url, If_Match='"0123"')[0], 412, "status")
    equal(_fetch(url, If_Match=tag)[::2], (200, b"x"))


@case("presigned: a header that was not signed makes no copy of a PUT")
def unsigned_headers(target):
    target.put("presigned/secret", b"secret")
    url = _url(target, "put_object", "presigned/laundered")
    source = f"/{target.bucket}/presigned/secret"
    status, _, answer = _fetch(url, method="PUT", body=b"", Content_Type="", x_amz_copy_source=source)
    equal(status, 403, f"status ({answer[:200]})")
    expect(b"<Code>AccessDenied</Code>" in answer, f"answer is {answer[:200]}")
    equal(_fetch(_url(target, "get_object", "presigned/laundered"))[0], 404, "status of the target")


@case("presigned: with Signature Version 2")
def version_2(target):
    target.put("presigned/version-2", b"x")
    url = _url(target, "get_object", "presigned/version-2", client=target.connect(signature_version="s3"))
    expect("AWSAccessKeyId=" in url, f"the URL is {url}")
    status, _, answer = _fetch(url)
    if target.difference("Signature Version 2"):
        equal((status, b"Please use AWS4-HMAC-SHA256" in answer), (400, True), f"answer ({answer[:300]})")
    else:
        equal((status, answer), (200, b"x"))


@case("presigned: listings and deletions of a bucket")
def bucket_operations(target):
    target.put("presigned/listed", b"x")
    url = target.client.generate_presigned_url(
        "list_objects_v2", Params={"Bucket": target.bucket, "Prefix": "presigned/listed"}
    )
    status, _, answer = _fetch(url)
    equal((status, b"<Key>presigned/listed</Key>" in answer, b"<Size>1</Size>" in answer), (200, True, True))
