"""The surface as a whole: which operations there are, errors, browsers of other origins, headers of every operation."""

import gzip
import json
import pathlib
import re
import urllib.error
import urllib.request

import botocore

from .suite import case, equal, expect, refused, with_headers

_OPERATIONS = pathlib.Path(__file__).parents[2] / "crates/proxy/src/route/operations.txt"

# Lines of the list that are in no SDK's model.
_OF_BROWSERS = {"OptionsObject", "PostObject"}


def _model():
    folder = pathlib.Path(botocore.__file__).parent / "data/s3/2006-03-01"
    packed = folder / "service-2.json.gz"
    text = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / "service-2.json").read_bytes()
    return json.loads(text)["operations"]


@case("surface: the list of operations is that of the installed SDK")
def operations(_target):
    listed = {}
    for line in _OPERATIONS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, request, *_ = (cell.strip() for cell in line.split("|"))
            listed[name] = request
    model = _model()
    equal(set(listed) - _OF_BROWSERS, set(model), "operations of crates/proxy/src/route/operations.txt")
    for name, operation in model.items():
        uri = operation["http"]["requestUri"].replace("{Bucket}", "bucket").replace("{Key+}", "key")
        expect(
            listed[name].startswith(f"{operation['http']['method']} {uri}"),
            f"{name} is {operation['http']['method']} {uri}, and listed as {listed[name]}",
        )


def _raw(target, method, path, **headers):
    """An unsigned request: status, headers, body."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(target.endpoint + path, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@case("rule 22: an error names the request's own resource and an id that the log knows")
def errors(target):
    answer = refused(lambda: target.get("surface/no such/key"), 404, "NoSuchKey")
    metadata = answer["ResponseMetadata"]
    expect(metadata["RequestId"], f"no request id in {answer}")
    equal(metadata["HTTPHeaders"]["x-amz-request-id"], metadata["RequestId"], "request id")
    expect(metadata["HTTPHeaders"].get("x-amz-id-2"), "no x-amz-id-2")
    url = target.client.generate_presigned_url("get_object", Params={"Bucket": target.bucket, "Key": "surface/none"})
    status, headers, body = _raw(target, "GET", url.removeprefix(target.endpoint))
    equal((status, headers["Content-Type"]), (404, "application/xml"))
    for element in ("Code", "Message", "Resource", "RequestId", "HostId", "Key"):
        expect(re.search(rf"<{element}>.+</{element}>".encode(), body), f"no {element} in {body[:500]}")
    expect(f"<Resource>/{target.bucket}/surface/none</Resource>".encode() in body, f"Resource in {body[:500]}")


@case("surface: requests without a signature are refused")
def unsigned(target):
    target.put("surface/unsigned", b"x")
    for method, path in (
        ("GET", f"/{target.bucket}/surface/unsigned"),
        ("GET", f"/{target.bucket}"),
        ("HEAD", f"/{target.bucket}/surface/unsigned"),
        ("PUT", f"/{target.bucket}/surface/unsigned"),
        ("DELETE", f"/{target.bucket}/surface/unsigned"),
        ("GET", "/"),
    ):
        equal(_raw(target, method, path)[0], 403, f"status of {method} {path}")
    equal(target.body("surface/unsigned"), b"x", "body")


@case("CORS: a preflight is answered, and can do nothing else")
def preflight(target):
    target.put("surface/cors", b"x")
    for path in (f"/{target.bucket}/surface/cors", f"/{target.bucket}", f"/{target.bucket}/surface/cors?delete&uploadId=x"):
        status, headers, body = _raw(
            target, "OPTIONS", path, Origin="https://app.example.org", Access_Control_Request_Method="PUT"
        )
        expect(status in (200, 204), f"status of OPTIONS {path} is {status} ({body[:200]})")
        expect(headers["Access-Control-Allow-Origin"] in ("*", "https://app.example.org"), f"headers are {headers}")
        expect("PUT" in headers["Access-Control-Allow-Methods"], f"methods are {headers['Access-Control-Allow-Methods']}")
    equal(target.body("surface/cors"), b"x", "body")


@case("CORS: answers and errors say which page may read them")
def cors(target):
    target.put("surface/cors-get", b"x")
    client = target.connect()
    in_parts = ("CreateMultipartUpload", "UploadPart", "ListParts", "ListMultipartUploads", "CompleteMultipartUpload", "AbortMultipartUpload")
    for operation in ("GetObject", "PutObject", "ListObjectsV2", *in_parts):
        with_headers(client, operation, {"Origin": "https://app.example.org"})
    key = {"Bucket": target.bucket, "Key": "surface/cors-parts"}
    created = client.create_multipart_upload(**key)
    upload = {**key, "UploadId": created["UploadId"]}
    part = client.upload_part(**upload, PartNumber=1, Body=b"x")
    exposed = part["ResponseMetadata"]["HTTPHeaders"].get("access-control-expose-headers", "").lower()
    expect("etag" in exposed or "*" in exposed, f"a page can't read the part's tag, only {exposed}")
    answers = [
        created,
        part,
        client.list_parts(**upload),
        client.list_multipart_uploads(Bucket=target.bucket, Prefix=key["Key"]),
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}),
        client.abort_multipart_upload(**key, UploadId=client.create_multipart_upload(**key)["UploadId"]),
        refused(lambda: client.upload_part(**key, UploadId="none", PartNumber=1, Body=b"x"), 404),
        client.get_object(Bucket=target.bucket, Key="surface/cors-get"),
        client.put_object(Bucket=target.bucket, Key="surface/cors-put", Body=b"x"),
        client.list_objects_v2(Bucket=target.bucket, Prefix="surface/"),
        refused(lambda: client.get_object(Bucket=target.bucket, Key="surface/cors-none"), 404),
    ]
    for answer in answers:
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        expect(headers.get("access-control-allow-origin") in ("*", "https://app.example.org"), f"headers are {headers}")
        expect("origin" in headers.get("vary", "").lower(), f"vary is {headers.get('vary')}")


@case("surface: who pays is said with every operation")
def payer(target):
    pays = {"Bucket": target.bucket, "RequestPayer": "requester"}
    one, client = {"Key": "surface/payer", **pays}, target.client
    client.put_object(Body=b"x", **one)
    equal(client.get_object(**one)["Body"].read(), b"x", "body")
    client.head_object(**one)
    equal(client.get_object_attributes(ObjectAttributes=["ObjectSize"], **one)["ObjectSize"], 1, "size")
    equal(len(client.list_objects_v2(Prefix="surface/payer", **pays)["Contents"]), 1, "keys")
    source = {"Bucket": target.bucket, "Key": "surface/payer"}
    client.copy_object(CopySource=source, **one | {"Key": "surface/payer-copy"})
    upload = one | {"UploadId": client.create_multipart_upload(**one)["UploadId"]}
    part = {"PartNumber": 1, "ETag": client.upload_part(PartNumber=1, Body=b"parts", **upload)["ETag"]}
    client.upload_part_copy(PartNumber=2, CopySource=source, **upload)
    equal(len(client.list_parts(**upload)["Parts"]), 2, "parts")
    client.complete_multipart_upload(MultipartUpload={"Parts": [part]}, **upload)
    equal(client.get_object(**one)["Body"].read(), b"parts", "body")
    client.delete_object(**one)
    client.delete_objects(Delete={"Objects": [{"Key": "surface/payer-copy"}]}, **pays)
    equal(client.list_objects_v2(Prefix="surface/payer", **pays)["KeyCount"], 0, "keys")


@case("surface: the redirect of a website's object comes back")
def website(target):
    target.put("surface/website", b"x", WebsiteRedirectLocation="/elsewhere")
    equal(target.head("surface/website").get("WebsiteRedirectLocation"), "/elsewhere", "location")
    equal(target.body("surface/website"), b"x", "body")


@case("surface: the storage class is kept")
def storage_class(target):
    target.put("surface/class", b"x", StorageClass="STANDARD")
    equal(target.head("surface/class").get("StorageClass", "STANDARD"), "STANDARD", "storage class")
    refused(lambda: target.put("surface/class-2", b"x", StorageClass="NONSENSE"), 400, "InvalidStorageClass")
