"""Buckets in the host's name. The store of the rig is told the base domain `s3.localhost`."""

import contextlib
import socket
import urllib.parse

import boto3
from botocore.config import Config

from .presigned import _fetch
from .suite import PART, case, equal, pattern, refused, same_bytes

DOMAIN = "s3.localhost"


@contextlib.contextmanager
def _hosts():
    """Names below the domain are this machine, as a hosts file would say."""
    ask = socket.getaddrinfo

    def answer(host, *arguments, **more):
        name = host.decode() if isinstance(host, bytes) else host
        return ask("127.0.0.1" if name and name.endswith(DOMAIN) else host, *arguments, **more)

    socket.getaddrinfo = answer
    try:
        yield
    finally:
        socket.getaddrinfo = ask


def _client(target, style="virtual"):
    port = urllib.parse.urlsplit(target.endpoint).port
    return boto3.client(
        "s3",
        endpoint_url=f"http://{DOMAIN}:{port}",
        config=Config(
            signature_version="s3v4", retries={"total_max_attempts": 1}, s3={"addressing_style": style}
        ),
    )


def _in_host(name):
    """Registers a case whose client names buckets in the host; it gets the client too."""

    def register(check):
        @case(name)
        def run(target):
            with _hosts():
                check(target, _client(target))

        return run

    return register


@_in_host("host: objects are the same by path and by host")
def objects(target, client):
    client.put_object(Bucket=target.bucket, Key="host/a b+c", Body=b"by host", Metadata={"m": "1"})
    equal(target.body("host/a b+c"), b"by host", "body by path")
    target.put("host/path", b"by path")
    equal(client.get_object(Bucket=target.bucket, Key="host/path")["Body"].read(), b"by path", "body by host")
    equal(client.head_object(Bucket=target.bucket, Key="host/a b+c")["Metadata"], {"m": "1"}, "metadata")
    listed = client.list_objects_v2(Bucket=target.bucket, Prefix="host/")["Contents"]
    equal([(item["Key"], item["Size"]) for item in listed], [("host/a b+c", 7), ("host/path", 7)], "listing")
    client.delete_object(Bucket=target.bucket, Key="host/path")
    refused(lambda: target.head("host/path"), 404)


@_in_host("host: the domain itself is path style")
def path_style(target, client):
    target.put("host/style", b"x")
    path = _client(target, "path")
    equal(path.get_object(Bucket=target.bucket, Key="host/style")["Body"].read(), b"x", "body")
    names = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
    equal(target.bucket in names, True, "the bucket is listed")


@_in_host("host: buckets are made and deleted")
def buckets(target, client):
    bucket = f"{target.bucket}-host"
    client.create_bucket(Bucket=bucket)
    equal(client.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"], 200, "status")
    equal(client.list_objects(Bucket=bucket).get("Contents"), None, "listing")
    client.delete_bucket(Bucket=bucket)
    refused(lambda: client.head_bucket(Bucket=bucket), 404)


@_in_host("host: multipart uploads, copies and DeleteObjects")
def others(target, client):
    body = pattern(101, PART + 9)
    upload = client.create_multipart_upload(Bucket=target.bucket, Key="host/m")["UploadId"]
    parts = []
    for number, part in enumerate((body[:PART], body[PART:]), 1):
        answer = client.upload_part(
            Bucket=target.bucket, Key="host/m", UploadId=upload, PartNumber=number, Body=part
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    client.complete_multipart_upload(
        Bucket=target.bucket, Key="host/m", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    client.copy_object(Bucket=target.bucket, Key="host/c", CopySource={"Bucket": target.bucket, "Key": "host/m"})
    same_bytes(target.body("host/c"), body)
    found = client.delete_objects(Bucket=target.bucket, Delete={"Objects": [{"Key": "host/m"}, {"Key": "host/c"}]})
    equal(len(found["Deleted"]), 2, "number of deletions")


@_in_host("host: presigned URLs")
def presigned(target, client):
    for key in ("host/presigned", "host/pre signed+ü"):
        sign = lambda operation, **more: client.generate_presigned_url(
            operation, Params={"Bucket": target.bucket, "Key": key, **more}, ExpiresIn=300
        )
        url = sign("put_object")
        equal(urllib.parse.urlsplit(url).hostname, f"{target.bucket}.{DOMAIN}", "host")
        equal(_fetch(url, method="PUT", body=b"body", Content_Type="")[0], 200, "status of PUT")
        status, headers, body = _fetch(sign("get_object", ResponseContentType="text/o"))
        equal((status, headers["content-type"], body), (200, "text/o", b"body"), "GET")
