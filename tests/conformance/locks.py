"""Object Lock: retention and legal hold."""

import datetime

from .checksums import checksum_value, put_with_trailer
from .suite import MIB, PART, case, equal, expect, pattern, refused, same_bytes


def _soon(days=1):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).replace(microsecond=0)


# AWS denies access to what is locked; MinIO calls the request invalid.
WORM = (400, 403), "AccessDenied", "InvalidRequest"


class Locked:
    """A bucket with Object Lock."""

    def __init__(self, target):
        import uuid

        self.client = target.client
        self.bucket = f"conformance-{uuid.uuid4().hex[:12]}"
        self.client.create_bucket(Bucket=self.bucket, ObjectLockEnabledForBucket=True)

    def put(self, key, body=b"locked", **arguments):
        return self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **arguments)["VersionId"]

    def head(self, key, **arguments):
        return self.client.head_object(Bucket=self.bucket, Key=key, **arguments)

    def body(self, key, **arguments):
        return self.client.get_object(Bucket=self.bucket, Key=key, **arguments)["Body"].read()

    def retention(self, key, **arguments):
        return self.client.get_object_retention(Bucket=self.bucket, Key=key, **arguments)["Retention"]

    def hold(self, key, **arguments):
        return self.client.get_object_legal_hold(Bucket=self.bucket, Key=key, **arguments)["LegalHold"]["Status"]

    def retain(self, key, mode, until, **arguments):
        self.client.put_object_retention(
            Bucket=self.bucket, Key=key, Retention={"Mode": mode, "RetainUntilDate": until}, **arguments
        )

    def set_hold(self, key, status, **arguments):
        self.client.put_object_legal_hold(Bucket=self.bucket, Key=key, LegalHold={"Status": status}, **arguments)

    def delete(self, key, version, **arguments):
        return self.client.delete_object(Bucket=self.bucket, Key=key, VersionId=version, **arguments)

    def default(self, mode, days):
        rule = {"DefaultRetention": {"Mode": mode, "Days": days}}
        self.client.put_object_lock_configuration(
            Bucket=self.bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )


@case("lock: a bucket made with it says so and has versions")
def made(target):
    bucket = Locked(target)
    found = target.client.get_object_lock_configuration(Bucket=bucket.bucket)["ObjectLockConfiguration"]
    equal(found.get("ObjectLockEnabled"), "Enabled", "lock")
    equal(target.client.get_bucket_versioning(Bucket=bucket.bucket).get("Status"), "Enabled", "versioning")
    refused(
        lambda: target.client.get_object_lock_configuration(Bucket=target.bucket),
        404,
        "ObjectLockConfigurationNotFoundError",
    )


def _register_bodies():
    for kind, body in {"small": b"locked", "large": pattern(91, 2 * MIB)}.items():

        @case(f"lock: retention and legal hold with PUT of a {kind} object")
        def with_put(target, body=body):
            bucket = Locked(target)
            until = _soon()
            version = bucket.put(
                "k",
                body,
                ObjectLockMode="GOVERNANCE",
                ObjectLockRetainUntilDate=until,
                ObjectLockLegalHoldStatus="ON",
            )
            for found in (bucket.head("k"), target.client.get_object(Bucket=bucket.bucket, Key="k")):
                equal(
                    (found.get("ObjectLockMode"), found.get("ObjectLockLegalHoldStatus")), ("GOVERNANCE", "ON"), "lock"
                )
                equal(found.get("ObjectLockRetainUntilDate"), until, "end of the retention")
            equal(bucket.retention("k", VersionId=version), {"Mode": "GOVERNANCE", "RetainUntilDate": until})
            equal(bucket.hold("k", VersionId=version), "ON", "legal hold")
            same_bytes(bucket.body("k"), body)

        @case(f"lock: retention with PUT of a {kind} object whose checksum comes in a trailer")
        def with_trailer(target, body=body):
            bucket = Locked(target)
            lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": _soon()}
            value = checksum_value("CRC32C", body)
            put_with_trailer(target, "k", body, "CRC32C", value, bucket=bucket.bucket, **lock)
            head = bucket.head("k", ChecksumMode="ENABLED")
            equal((head.get("ObjectLockMode"), head.get("ChecksumCRC32C")), ("GOVERNANCE", value), "lock")
            refused(lambda: bucket.delete("k", head["VersionId"]), *WORM)
            same_bytes(bucket.body("k"), body)
            wrong = checksum_value("CRC32C", b"something else")
            refused(
                lambda: put_with_trailer(target, "wrong", body, "CRC32C", wrong, bucket=bucket.bucket, **lock),
                400,
                "BadDigest",
                "XAmzContentChecksumMismatch",
            )

        @case(f"lock: default retention of the bucket for a {kind} object")
        def default(target, body=body):
            bucket = Locked(target)
            bucket.default("GOVERNANCE", 2)
            version = bucket.put("k", body)
            head = bucket.head("k")
            equal(head.get("ObjectLockMode"), "GOVERNANCE", "mode")
            left = head["ObjectLockRetainUntilDate"] - datetime.datetime.now(datetime.timezone.utc)
            expect(datetime.timedelta(hours=47) < left <= datetime.timedelta(hours=49), f"{left} are left")
            refused(lambda: bucket.delete("k", version), *WORM)
            same_bytes(bucket.body("k"), body)


_register_bodies()


@case("lock: retention and legal hold with a multipart upload")
def with_multipart(target):
    bucket = Locked(target)
    until = _soon()
    body = pattern(92, PART + 5)
    client = target.client
    upload = client.create_multipart_upload(
        Bucket=bucket.bucket,
        Key="k",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
        ObjectLockLegalHoldStatus="ON",
    )["UploadId"]
    parts = []
    for number, part in enumerate((body[:PART], body[PART:]), 1):
        answer = client.upload_part(Bucket=bucket.bucket, Key="k", UploadId=upload, PartNumber=number, Body=part)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    client.complete_multipart_upload(Bucket=bucket.bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    head = bucket.head("k")
    equal((head.get("ObjectLockMode"), head.get("ObjectLockLegalHoldStatus")), ("GOVERNANCE", "ON"), "lock")
    equal(head.get("ObjectLockRetainUntilDate"), until, "end of the retention")
    refused(lambda: bucket.delete("k", head["VersionId"]), *WORM)
    same_bytes(bucket.body("k"), body)


@case("lock: default retention of the bucket for a multipart upload")
def default_multipart(target):
    bucket = Locked(target)
    bucket.default("GOVERNANCE", 1)
    client = target.client
    upload = client.create_multipart_upload(Bucket=bucket.bucket, Key="k")["UploadId"]
    answer = client.upload_part(Bucket=bucket.bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    parts = [{"PartNumber": 1, "ETag": answer["ETag"]}]
    client.complete_multipart_upload(Bucket=bucket.bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
    equal(bucket.head("k").get("ObjectLockMode"), "GOVERNANCE", "mode")
    equal(bucket.body("k"), b"x", "body")


@case("lock: retention and legal hold with a copy")
def with_copy(target):
    bucket = Locked(target)
    until = _soon()
    for size in (10, 2 * MIB):
        bucket.put("source", pattern(93, size))
        target.client.copy_object(
            Bucket=bucket.bucket,
            Key="k",
            CopySource={"Bucket": bucket.bucket, "Key": "source"},
            ObjectLockMode="GOVERNANCE",
            ObjectLockRetainUntilDate=until,
            ObjectLockLegalHoldStatus="ON",
        )
        head = bucket.head("k")
        equal((head.get("ObjectLockMode"), head.get("ObjectLockLegalHoldStatus")), ("GOVERNANCE", "ON"), "lock")
        equal(head.get("ObjectLockRetainUntilDate"), until, "end of the retention")
        same_bytes(bucket.body("k"), pattern(93, size))


@case("lock: a copy does not take the source's retention along")
def copy_of_locked(target):
    bucket = Locked(target)
    bucket.put("source", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=_soon())
    source = {"Bucket": bucket.bucket, "Key": "source"}
    target.client.copy_object(Bucket=bucket.bucket, Key="k", CopySource=source)
    equal(bucket.head("k").get("ObjectLockMode"), None, "mode")


@case("lock: retention set later, by version")
def later(target):
    bucket = Locked(target)
    until = _soon()
    first, second = bucket.put("k", b"first"), bucket.put("k", b"second")
    bucket.retain("k", "GOVERNANCE", until, VersionId=first)
    equal(bucket.retention("k", VersionId=first), {"Mode": "GOVERNANCE", "RetainUntilDate": until})
    refused(lambda: bucket.retention("k", VersionId=second), (400, 404), "NoSuchObjectLockConfiguration")
    equal(bucket.head("k", VersionId=first).get("ObjectLockMode"), "GOVERNANCE", "mode")
    refused(lambda: bucket.delete("k", first), *WORM)
    bucket.delete("k", second)
    equal(bucket.body("k"), b"first", "body")


@case("lock: retention can be made longer, and not shorter")
def longer(target):
    bucket = Locked(target)
    bucket.put("k", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=_soon(2))
    refused(lambda: bucket.retain("k", "COMPLIANCE", _soon(1)), *WORM)
    bucket.retain("k", "COMPLIANCE", _soon(3))
    refused(lambda: bucket.delete("k", bucket.head("k")["VersionId"]), *WORM)
    bypass = {"BypassGovernanceRetention": True}
    refused(lambda: bucket.delete("k", bucket.head("k")["VersionId"], **bypass), *WORM)


@case("lock: governance can be bypassed by who says so")
def bypass(target):
    bucket = Locked(target)
    version = bucket.put("k", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=_soon(2))
    refused(lambda: bucket.retain("k", "GOVERNANCE", _soon(1)), *WORM)
    bucket.retain("k", "GOVERNANCE", _soon(1), BypassGovernanceRetention=True)
    refused(lambda: bucket.delete("k", version), *WORM)
    bucket.delete("k", version, BypassGovernanceRetention=True)
    refused(lambda: bucket.head("k", VersionId=version), 404)


@case("lock: legal hold on and off")
def hold(target):
    bucket = Locked(target)
    version = bucket.put("k")
    bucket.set_hold("k", "ON")
    equal((bucket.hold("k"), bucket.head("k").get("ObjectLockLegalHoldStatus")), ("ON", "ON"), "hold")
    refused(lambda: bucket.delete("k", version), *WORM)
    refused(lambda: bucket.delete("k", version, BypassGovernanceRetention=True), *WORM)
    bucket.set_hold("k", "OFF", VersionId=version)
    equal(bucket.hold("k", VersionId=version), "OFF", "hold")
    bucket.delete("k", version)
    refused(lambda: bucket.head("k"), 404)


@case("lock: a DELETE without a version leaves a marker, and a PUT a new version")
def marker(target):
    bucket = Locked(target)
    version = bucket.put("k", b"kept", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=_soon())
    newer = bucket.put("k", b"newer")
    answer = target.client.delete_object(Bucket=bucket.bucket, Key="k")
    equal(answer["DeleteMarker"], True, "marker")
    equal((bucket.body("k", VersionId=version), bucket.body("k", VersionId=newer)), (b"kept", b"newer"), "bodies")


@case("lock: DeleteObjects deletes what is not locked and says what is")
def delete_objects(target):
    bucket = Locked(target)
    locked = bucket.put("locked", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=_soon())
    free = bucket.put("free")
    objects = [{"Key": "locked", "VersionId": locked}, {"Key": "free", "VersionId": free}]
    answer = target.client.delete_objects(Bucket=bucket.bucket, Delete={"Objects": objects})
    equal([entry["Key"] for entry in answer["Deleted"]], ["free"], "deleted")
    equal([(error["Key"], error["VersionId"]) for error in answer["Errors"]], [("locked", locked)], "errors")
    answer = target.client.delete_objects(
        Bucket=bucket.bucket, Delete={"Objects": objects[:1]}, BypassGovernanceRetention=True
    )
    equal([entry["Key"] for entry in answer.get("Deleted", [])], ["locked"], "deleted with a bypass")


@case("lock: headers that make no sense are refused")
def senseless(target):
    bucket = Locked(target)
    past = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)
    put = lambda **more: (lambda: bucket.put("refused", **more))
    refused(put(ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=past), 400)
    refused(put(ObjectLockMode="GOVERNANCE"), 400)
    refused(put(ObjectLockMode="NONSENSE", ObjectLockRetainUntilDate=_soon()), 400)
    refused(put(ObjectLockLegalHoldStatus="MAYBE"), 400)
    refused(lambda: bucket.head("refused"), 404)


@case("lock: without Object Lock on the bucket it is InvalidRequest")
def no_lock(target):
    refused(
        lambda: target.put("refused", b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=_soon()),
        400,
        "InvalidRequest",
    )
    refused(lambda: target.put("refused", b"x", ObjectLockLegalHoldStatus="ON"), 400, "InvalidRequest")
    refused(lambda: target.head("refused"), 404)
    target.put("plain", b"x")
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": _soon()}
    refused(
        lambda: target.client.put_object_retention(Bucket=target.bucket, Key="plain", Retention=retention),
        400,
        "InvalidRequest",
    )
