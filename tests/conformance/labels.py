"""What goes with an object and is meant for the storage: ACL, storage class, redirects, owners and payers."""

from .suite import PART, case, equal, expect, refused, with_headers


def _grants(target, key, **arguments):
    found = target.client.get_object_acl(Bucket=target.bucket, Key=key, **arguments)
    return sorted(grant["Permission"] for grant in found["Grants"])


@case("acl: an object's owner may do everything")
def owner(target):
    target.put("acl/plain", b"x")
    equal(_grants(target, "acl/plain"), ["FULL_CONTROL"], "grants")
    found = target.client.get_object_acl(Bucket=target.bucket, Key="acl/plain")
    expect(found["Owner"].get("ID") is not None, "there is no owner")


@case("acl: private, with PUT and later")
def private(target):
    target.put("acl/private", b"x", ACL="private")
    equal(_grants(target, "acl/private"), ["FULL_CONTROL"], "grants")
    target.client.put_object_acl(Bucket=target.bucket, Key="acl/private", ACL="private")
    equal((_grants(target, "acl/private"), target.body("acl/private")), (["FULL_CONTROL"], b"x"))


@case("acl: public-read, with PUT and later, is there or refused, and harms no object")
def public(target):
    target.put("acl/public", b"kept")
    try:
        target.client.put_object_acl(Bucket=target.bucket, Key="acl/public", ACL="public-read")
    except target.client.exceptions.ClientError as error:
        equal(error.response["ResponseMetadata"]["HTTPStatusCode"], 501, "status")
        equal(error.response["Error"]["Code"], "NotImplemented", "code")
    else:
        equal(_grants(target, "acl/public"), ["FULL_CONTROL", "READ"], "grants")
    equal(target.body("acl/public"), b"kept", "body")


@case("acl: with a multipart upload and a copy")
def others(target):
    target.upload("acl/multipart", b"x", ACL="private")
    source = {"Bucket": target.bucket, "Key": "acl/multipart"}
    target.client.copy_object(Bucket=target.bucket, Key="acl/copy", CopySource=source, ACL="private")
    for key in ("acl/multipart", "acl/copy"):
        equal((_grants(target, key), target.body(key)), (["FULL_CONTROL"], b"x"))


@case("acl: of a key that is missing is NoSuchKey")
def missing(target):
    refused(lambda: _grants(target, "acl/missing"), 404, "NoSuchKey")


@case("acl: of a bucket")
def of_bucket(target):
    found = target.client.get_bucket_acl(Bucket=target.bucket)
    equal([grant["Permission"] for grant in found["Grants"]], ["FULL_CONTROL"], "grants")
    target.client.put_bucket_acl(Bucket=target.bucket, ACL="private")


@case("storage class: with PUT, a multipart upload and a copy")
def storage_class(target):
    chosen = "REDUCED_REDUNDANCY"
    target.put("class/put", b"x", StorageClass=chosen)
    target.upload("class/multipart", bytes(PART), b"end", StorageClass=chosen)
    source = {"Bucket": target.bucket, "Key": "class/put"}
    target.client.copy_object(Bucket=target.bucket, Key="class/copy", CopySource=source, StorageClass=chosen)
    target.client.copy_object(Bucket=target.bucket, Key="class/standard", CopySource=source, StorageClass="STANDARD")
    listed = target.client.list_objects_v2(Bucket=target.bucket, Prefix="class/")["Contents"]
    listed = {item["Key"]: item["StorageClass"] for item in listed}
    for key in ("class/put", "class/multipart", "class/copy"):
        equal(target.head(key).get("StorageClass"), chosen, f"class of {key}")
        equal(target.get(key).get("StorageClass"), chosen, f"class of {key}")
        equal(listed[key], chosen, f"listed class of {key}")
    expect(target.head("class/standard").get("StorageClass") in (None, "STANDARD"), "the class was not changed")


@case("storage class: changed by a copy onto itself")
def storage_class_changed(target):
    target.put("class/itself", b"same", Metadata={"m": "1"})
    source = {"Bucket": target.bucket, "Key": "class/itself"}
    target.client.copy_object(
        Bucket=target.bucket, Key="class/itself", CopySource=source, StorageClass="REDUCED_REDUNDANCY"
    )
    head = target.head("class/itself")
    equal((head.get("StorageClass"), head["Metadata"]), ("REDUCED_REDUNDANCY", {"m": "1"}))
    equal(target.body("class/itself"), b"same", "body")


@case("storage class: one that is unknown is InvalidStorageClass")
def storage_class_unknown(target):
    refused(lambda: target.put("class/unknown", b"x", StorageClass="NONSENSE"), 400, "InvalidStorageClass")
    refused(lambda: target.head("class/unknown"), 404)


@case("tags: with a copy, taken from the source or replaced")
def tags(target):
    read = lambda key: target.client.get_object_tagging(Bucket=target.bucket, Key=key)["TagSet"]
    source = {"Bucket": target.bucket, "Key": "tags/source"}
    copy = lambda key, **more: target.client.copy_object(Bucket=target.bucket, Key=key, CopySource=source, **more)
    for size in (1, 2 << 20):
        target.put("tags/source", bytes(size), Tagging="a=1&b=%2B%20x")
        tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "+ x"}]
        copy("tags/copy")
        equal(read("tags/copy"), tags, "tags of a copy")
        copy("tags/new-metadata", MetadataDirective="REPLACE", Metadata={"m": "1"})
        equal(read("tags/new-metadata"), tags, "tags of a copy with other metadata")
        copy("tags/replaced", TaggingDirective="REPLACE", Tagging="c=3")
        equal(read("tags/replaced"), [{"Key": "c", "Value": "3"}], "tags of a copy with other tags")
        copy("tags/none", TaggingDirective="REPLACE", Tagging="")
        equal(read("tags/none"), [], "tags of a copy without any")


@case("tags: GET and HEAD say how many")
def tag_count(target):
    target.put("tags/count", b"x", Tagging="a=1&b=2")
    for found in (target.get("tags/count"), target.head("tags/count")):
        equal(found["ResponseMetadata"]["HTTPHeaders"].get("x-amz-tagging-count"), "2", "count")


@case("tags: too many, or odd ones, are refused")
def odd_tags(target):
    many = "&".join(f"k{n}=v" for n in range(11))
    refused(lambda: target.put("tags/many", b"x", Tagging=many), 400)
    refused(lambda: target.put("tags/twice", b"x", Tagging="a=1&a=2"), 400)
    refused(lambda: target.put("tags/long", b"x", Tagging="k" * 129 + "=v"), 400)
    for key in ("tags/many", "tags/twice", "tags/long"):
        refused(lambda key=key: target.head(key), 404)


@case("payer: a request that says who pays is served")
def payer(target):
    target.put("payer", b"x", RequestPayer="requester")
    equal(target.body("payer", RequestPayer="requester"), b"x", "body")
    equal(target.head("payer", RequestPayer="requester")["ContentLength"], 1, "length")
    found = target.client.list_objects_v2(Bucket=target.bucket, Prefix="payer", RequestPayer="requester")
    equal(found["KeyCount"], 1, "number of keys")
    target.client.delete_object(Bucket=target.bucket, Key="payer", RequestPayer="requester")


@case("headers: a bypass of governance on a plain bucket changes nothing")
def bypass(target):
    target.put("bypass", b"x")
    client = with_headers(target.connect(), "DeleteObject", {"x-amz-bypass-governance-retention": "true"})
    client.delete_object(Bucket=target.bucket, Key="bypass")
    refused(lambda: target.head("bypass"), 404)
