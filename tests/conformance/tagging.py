"""Tags of objects. They are not hidden: the storage sees them."""

from .suite import case, equal, refused


def _tags(target, key):
    return target.client.get_object_tagging(Bucket=target.bucket, Key=key)["TagSet"]


@case("tags: given with PUT")
def with_put(target):
    target.put("tags/put", b"x", Tagging="a=b&c=d%20e")
    equal(_tags(target, "tags/put"), [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d e"}], "tags")
    equal(target.body("tags/put"), b"x", "body")


@case("tags: set, replaced and deleted later")
def later(target):
    target.put("tags/later", b"x", Metadata={"m": "1"})
    equal(_tags(target, "tags/later"), [], "tags")
    for tags in ([{"Key": "a", "Value": "1"}], [{"Key": "b", "Value": "2"}]):
        target.client.put_object_tagging(Bucket=target.bucket, Key="tags/later", Tagging={"TagSet": tags})
        equal(_tags(target, "tags/later"), tags, "tags")
    target.client.delete_object_tagging(Bucket=target.bucket, Key="tags/later")
    equal(_tags(target, "tags/later"), [], "tags")
    equal((target.body("tags/later"), target.head("tags/later")["Metadata"]), (b"x", {"m": "1"}), "object")


@case("tags: given with a multipart upload")
def with_multipart(target):
    target.upload("tags/multipart", b"x", Tagging="a=b")
    equal(_tags(target, "tags/multipart"), [{"Key": "a", "Value": "b"}], "tags")


@case("tags: of a key that is missing are NoSuchKey")
def missing(target):
    refused(lambda: _tags(target, "tags/missing"), 404, "NoSuchKey")
