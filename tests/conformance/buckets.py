"""Buckets."""

import uuid

from .suite import case, equal, expect, refused


@case("bucket: a new one is found by HEAD and in the list")
def made(target):
    equal(target.client.head_bucket(Bucket=target.bucket)["ResponseMetadata"]["HTTPStatusCode"], 200, "status")
    names = [bucket["Name"] for bucket in target.client.list_buckets()["Buckets"]]
    expect(target.bucket in names, f"{target.bucket} is not in {names}")


@case("bucket: HEAD of one that is missing is 404")
def missing(target):
    refused(lambda: target.client.head_bucket(Bucket="no-such-bucket-here"), 404, "404")


@case("bucket: making it twice is 409 or harmless")
def twice(target):
    target.put("kept", b"kept")
    try:
        target.client.create_bucket(Bucket=target.bucket)
    except target.client.exceptions.BucketAlreadyOwnedByYou as error:
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 409, "status")
    equal(target.body("kept"), b"kept", "body")


@case("bucket: an empty one can be deleted")
def delete(target):
    bucket = target.new_bucket()
    equal(target.client.delete_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"], 204, "status")
    refused(lambda: target.client.head_bucket(Bucket=bucket), 404)
    refused(lambda: target.client.list_objects_v2(Bucket=bucket), 404, "NoSuchBucket")


@case("bucket: one with objects can't be deleted")
def delete_full(target):
    target.put("stays", b"x")
    refused(lambda: target.client.delete_bucket(Bucket=target.bucket), 409, "BucketNotEmpty")
    equal(target.body("stays"), b"x", "body")


@case("bucket: deleting one that is missing is NoSuchBucket")
def delete_missing(target):
    refused(lambda: target.client.delete_bucket(Bucket=f"gone-{uuid.uuid4().hex[:8]}"), 404, "NoSuchBucket")


@case("bucket: its location is the region's")
def location(target):
    equal(target.client.get_bucket_location(Bucket=target.bucket).get("LocationConstraint"), None, "location")


@case("bucket: operations on one that is missing are NoSuchBucket")
def operations(target):
    bucket = f"gone-{uuid.uuid4().hex[:8]}"
    client = target.client
    for name, call in {
        "PutObject": lambda: client.put_object(Bucket=bucket, Key="k", Body=b"x"),
        "PutObject of 2 MiB": lambda: client.put_object(Bucket=bucket, Key="k", Body=bytes(2 << 20)),
        "GetObject": lambda: client.get_object(Bucket=bucket, Key="k"),
        "ListObjects": lambda: client.list_objects(Bucket=bucket),
        "CreateMultipartUpload": lambda: client.create_multipart_upload(Bucket=bucket, Key="k"),
        "DeleteObjects": lambda: client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]}),
    }.items():
        try:
            refused(call, 404, "NoSuchBucket")
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
