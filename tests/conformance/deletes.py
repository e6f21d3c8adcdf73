"""DeleteObject and DeleteObjects."""

from .suite import case, equal, refused


def _delete(target, *keys, **arguments):
    return target.client.delete_objects(
        Bucket=target.bucket, Delete={"Objects": [{"Key": key} for key in keys], **arguments}
    )


@case("delete: a key that is missing is 204")
def missing(target):
    answer = target.client.delete_object(Bucket=target.bucket, Key="delete/missing")
    equal(answer["ResponseMetadata"]["HTTPStatusCode"], 204, "status")


@case("delete: several keys, some of them missing or odd")
def several(target):
    keys = ["delete/1", "delete/sp ace", "delete/pl+us", "delete/ü", "delete/<&>"]
    for key in [*keys, "delete/stays"]:
        target.put(key, b"x")
    answer = _delete(target, *keys, "delete/none")
    equal(sorted(item["Key"] for item in answer["Deleted"]), sorted([*keys, "delete/none"]), "deleted")
    equal(answer.get("Errors"), None, "errors")
    listed = target.client.list_objects_v2(Bucket=target.bucket, Prefix="delete/")
    equal([item["Key"] for item in listed["Contents"]], ["delete/stays"], "what is left")


@case("delete: quietly")
def quiet(target):
    target.put("delete/quiet", b"x")
    answer = _delete(target, "delete/quiet", Quiet=True)
    equal((answer.get("Deleted"), answer.get("Errors")), (None, None))
    refused(lambda: target.head("delete/quiet"), 404)


@case("delete: 1,000 keys at once")
def many(target):
    target.put("delete/many-7", b"x")
    answer = _delete(target, *[f"delete/many-{index}" for index in range(1_000)])
    equal(len(answer["Deleted"]), 1_000, "number of deleted keys")
    refused(lambda: target.head("delete/many-7"), 404)


@case("rule 24: 1,001 keys at once are refused")
def too_many(target):
    target.put("delete/too-many-7", b"x")
    refused(lambda: _delete(target, *[f"delete/too-many-{index}" for index in range(1_001)]), 400, "MalformedXML")
    equal(target.body("delete/too-many-7"), b"x", "body")
