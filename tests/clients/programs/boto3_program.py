"""boto3: every checksum setting, the transfer manager, both addressing styles, presigned requests."""

import io
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from steps import BASE_DOMAIN, CA_FILE, CANARY, ENDPOINT, PREFIX, REGION, equal, gone, step, stored, text

MIB = 1 << 20
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
SIZES = (0, 1, 65_537, MIB + 1)
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)


def connect(endpoint=ENDPOINT, style="path", region=REGION, **settings):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        verify=CA_FILE,
        config=Config(s3={"addressing_style": style}, retries={"total_max_attempts": 1}, **settings),
    )


def resolve_localhost():
    """Every name in `localhost` is this machine (RFC 6761), also where the system's resolver does not know it."""
    resolve = socket.getaddrinfo

    def known(host, *arguments, **options):
        local = isinstance(host, str) and host.endswith(".localhost")
        return resolve("127.0.0.1" if local else host, *arguments, **options)

    socket.getaddrinfo = known


def fetch(url, data=None, method="GET", headers=None):
    """A request by somebody without credentials."""
    context = ssl.create_default_context(cafile=CA_FILE) if CA_FILE else None
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    with urllib.request.urlopen(request, context=context, timeout=60) as answer:
        return answer.read()


def checksum_settings():
    """Both settings of both directions, no algorithm named and each of them named."""
    bucket = PREFIX + "checksums"
    connect().create_bucket(Bucket=bucket)
    for requests in ("when_supported", "when_required"):
        for responses in ("when_supported", "when_required"):
            client = connect(request_checksum_calculation=requests, response_checksum_validation=responses)
            for algorithm in (None, *ALGORITHMS):
                with step(f"put and get, requests {requests}, responses {responses}, {algorithm or 'no algorithm'}"):
                    for size in SIZES:
                        check_one(client, bucket, requests, responses, algorithm, size)


def check_one(client, bucket, requests, responses, algorithm, size):
    key, body = f"{requests}/{responses}/{algorithm}/{size}", text("checksums", size)
    named = {"ChecksumAlgorithm": algorithm} if algorithm else {}
    sent = client.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"note": CANARY}, **named)
    stored(bucket, key, body)
    # Without a name, when_supported means CRC32.
    field = f"Checksum{algorithm or 'CRC32'}"
    if algorithm or requests == "when_supported":
        assert sent.get(field), f"PutObject of {size} bytes returned no {field}"
    found = client.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    equal(found["Body"].read(), body, key)
    equal(found.get(field), sent.get(field), f"{field} of {key}")
    equal(found["Metadata"], {"note": CANARY}, f"the metadata of {key}")
    assert "aws-chunked" not in found.get("ContentEncoding", ""), found["ContentEncoding"]


def multipart_checksums():
    bucket = PREFIX + "parts"
    client = connect()
    client.create_bucket(Bucket=bucket)
    bodies = [text("first", 5 * MIB), text("second", 1000)]
    for algorithm, kind in [(name, "COMPOSITE") for name in ("CRC32", "CRC32C", "SHA1", "SHA256")] + [
        (name, "FULL_OBJECT") for name in ("CRC32", "CRC32C", "CRC64NVME")
    ]:
        with step(f"an upload in parts with {algorithm}, {kind}"):
            key = f"{algorithm}-{kind}"
            place = {"Bucket": bucket, "Key": key}
            made = client.create_multipart_upload(**place, ChecksumAlgorithm=algorithm, ChecksumType=kind)
            upload, parts = made["UploadId"], []
            for number, body in enumerate(bodies, 1):
                sent = client.upload_part(
                    **place, UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm
                )
                field = f"Checksum{algorithm}"
                parts.append({"PartNumber": number, "ETag": sent["ETag"], field: sent[field]})
            listed = client.list_parts(**place, UploadId=upload)["Parts"]
            equal([part["Size"] for part in listed], [len(body) for body in bodies], "the sizes of ListParts")
            done = client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
            assert done.get(field), f"Complete returned no {field}"
            found = client.get_object(**place, ChecksumMode="ENABLED")
            equal(found["Body"].read(), b"".join(bodies), "the body")
            equal(found.get(field), done[field], "the checksum of GET")
            stored(bucket, key, b"".join(bodies))


def managed_transfers():
    bucket = PREFIX + "transfers"
    body = text("transfers", 12 * MIB + 7)
    connect().create_bucket(Bucket=bucket)
    for requests in ("when_supported", "when_required"):
        client = connect(request_checksum_calculation=requests)
        for algorithm in (None, *ALGORITHMS):
            extra = {"Metadata": {"note": CANARY}} | ({"ChecksumAlgorithm": algorithm} if algorithm else {})
            with step(f"upload_fileobj and download_fileobj, requests {requests}, {algorithm or 'no algorithm'}"):
                key = f"{requests}/{algorithm}"
                client.upload_fileobj(io.BytesIO(body), bucket, key, ExtraArgs=extra, Config=PARTS)
                back = io.BytesIO()
                client.download_fileobj(bucket, key, back, Config=PARTS)
                equal(back.getvalue(), body, key)
                stored(bucket, key, body)
    with step("a managed copy in parts"):
        client.copy({"Bucket": bucket, "Key": key}, bucket, "copied", Config=PARTS)
        stored(bucket, "copied", body)
    with step("the resource interface"):
        resource = boto3.resource("s3", endpoint_url=ENDPOINT, verify=CA_FILE)
        objects = {found.key: found.size for found in resource.Bucket(bucket).objects.all()}
        equal(set(objects.values()), {len(body)}, "the sizes")
        lines = resource.Object(bucket, "copied").get()["Body"].iter_lines()
        equal(next(lines), body.splitlines()[0], "the first line")


def virtual_host_style():
    bucket = PREFIX + "virtual"
    scheme, authority = ENDPOINT.split("://")
    endpoint = f"{scheme}://{BASE_DOMAIN}:{authority.rsplit(':', 1)[1]}"
    client = connect(endpoint, style="virtual")
    hosts = []
    client.meta.events.register("before-send.s3", lambda request, **_: hosts.append(urllib.parse.urlsplit(request.url)))
    with step("virtual-host style: put, get, list, parts, delete"):
        client.create_bucket(Bucket=bucket)
        body = text("virtual", 11 * MIB)
        for key in ("a", "dir/b c+%41ü"):
            client.put_object(Bucket=bucket, Key=key, Body=body[:70_000])
            equal(client.get_object(Bucket=bucket, Key=key)["Body"].read(), body[:70_000], key)
            stored(bucket, key, body[:70_000])
        client.upload_fileobj(io.BytesIO(body), bucket, "parts", Config=PARTS)
        stored(bucket, "parts", body)
        listed = client.list_objects_v2(Bucket=bucket)["Contents"]
        equal([found["Size"] for found in listed], [70_000, 70_000, len(body)], "the sizes")
        client.delete_object(Bucket=bucket, Key="a")
        gone(bucket, "a")
        assert all(url.hostname == f"{bucket}.{BASE_DOMAIN}" for url in hosts), hosts
    with step("virtual-host style: a presigned GET"):
        presigning = connect(endpoint, style="virtual", region="eu-central-1")
        url = presigning.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "dir/b c+%41ü"})
        equal(urllib.parse.urlsplit(url).hostname, f"{bucket}.{BASE_DOMAIN}", "the host")
        equal(fetch(url), body[:70_000], "the body")


def presigned():
    bucket = PREFIX + "presigned"
    # In us-east-1, boto3 presigns with version 2 of the signature unless it is told: `signature_version="s3v4"`.
    client = connect(region="eu-central-1")
    connect().create_bucket(Bucket=bucket)
    body = text("presigned", 70_000)
    with step("presigned in us-east-1 with version 4 by its setting"):
        url = connect(region="us-east-1", signature_version="s3v4").generate_presigned_url("list_buckets")
        assert bucket in fetch(url).decode(), "the bucket is not listed"
    with step("presigned PUT, HEAD and GET"):
        place = {"Bucket": bucket, "Key": "a b+c"}
        fetch(client.generate_presigned_url("put_object", Params=place), body, "PUT")
        stored(bucket, "a b+c", body)
        fetch(client.generate_presigned_url("head_object", Params=place), method="HEAD")
        equal(fetch(client.generate_presigned_url("get_object", Params=place)), body, "the body")
    with step("presigned PUT with metadata and a content type"):
        more = {"Metadata": {"note": CANARY}, "ContentType": "text/plain"}
        url = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "noted", **more})
        fetch(url, body, "PUT", {"x-amz-meta-note": CANARY, "Content-Type": "text/plain"})
        stored(bucket, "noted", body)
        head = client.head_object(Bucket=bucket, Key="noted")
        equal((head["Metadata"], head["ContentType"]), ({"note": CANARY}, "text/plain"), "metadata and content type")
    with step("a presigned upload in parts"):
        place = {"Bucket": bucket, "Key": "parts"}
        upload = client.create_multipart_upload(**place)["UploadId"]
        bodies = [text("first", 5 * MIB), body]
        for number, part in enumerate(bodies, 1):
            numbered = {**place, "UploadId": upload, "PartNumber": number}
            fetch(client.generate_presigned_url("upload_part", Params=numbered), part, "PUT")
        parts = [
            {"PartNumber": part["PartNumber"], "ETag": part["ETag"]}
            for part in client.list_parts(**place, UploadId=upload)["Parts"]
        ]
        client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
        stored(bucket, "parts", b"".join(bodies))
    with step("a presigned POST form"):
        form = client.generate_presigned_post(
            bucket,
            "forms/${filename}",
            Fields={"x-amz-meta-note": CANARY},
            Conditions=[["content-length-range", 1, 100_000], {"x-amz-meta-note": CANARY}],
        )
        fetch(form["url"], *multipart_form(form["fields"], "upload.txt", body))
        stored(bucket, "forms/upload.txt", body)
        equal(client.head_object(Bucket=bucket, Key="forms/upload.txt")["Metadata"], {"note": CANARY}, "the metadata")
        try:
            fetch(form["url"], *multipart_form(form["fields"], "large.txt", b"." * 100_001))
        except urllib.error.HTTPError as error:
            equal(error.code, 400, "the status for a file that is too large")
        else:
            raise AssertionError("a file that is larger than the policy allows was taken")


def multipart_form(fields, name, body):
    """A form as browsers send it: body, method, headers."""
    boundary = "boundary-of-the-form"
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    ]
    lines.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n')
    data = "".join(lines).encode() + body + f"\r\n--{boundary}--\r\n".encode()
    return data, "POST", {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def everyday_operations():
    bucket = PREFIX + "daily"
    client = connect()
    client.create_bucket(Bucket=bucket)
    body = text("daily", 200_000)
    client.put_object(Bucket=bucket, Key="daily", Body=body)
    stored(bucket, "daily", body)
    with step("ranges"):
        for first, last in ((0, 0), (65_535, 65_536), (199_999, 300_000)):
            found = client.get_object(Bucket=bucket, Key="daily", Range=f"bytes={first}-{last}")
            equal(found["Body"].read(), body[first : last + 1], f"{first}-{last}")
            equal(found["ContentRange"], f"bytes {first}-{min(last, 199_999)}/200000", "Content-Range")
    with step("conditions"):
        tag = client.head_object(Bucket=bucket, Key="daily")["ETag"]
        client.get_object(Bucket=bucket, Key="daily", IfMatch=tag)
        for status, arguments in ((304, {"IfNoneMatch": tag}), (412, {"IfMatch": '"other"'})):
            try:
                client.get_object(Bucket=bucket, Key="daily", **arguments)
            except ClientError as error:
                equal(error.response["ResponseMetadata"]["HTTPStatusCode"], status, f"the status with {arguments}")
            else:
                raise AssertionError(f"{arguments} was not looked at")
    with step("tags"):
        tags = [{"Key": "color", "Value": "blue"}]
        client.put_object_tagging(Bucket=bucket, Key="daily", Tagging={"TagSet": tags})
        equal(client.get_object_tagging(Bucket=bucket, Key="daily")["TagSet"], tags, "the tags")
    with step("delete_objects"):
        for index in range(3):
            client.put_object(Bucket=bucket, Key=f"many/{index}", Body=body)
        names = {"Objects": [{"Key": f"many/{index}"} for index in range(3)]}
        equal(len(client.delete_objects(Bucket=bucket, Delete=names)["Deleted"]), 3, "the number of deletions")
    with step("list with a delimiter, in pages"):
        for key in ("x/1", "x/2", "y/1", "z"):
            client.put_object(Bucket=bucket, Key=key, Body=body[:1000])
            stored(bucket, key, body[:1000])
        paginator = client.get_paginator("list_objects_v2")
        pages = paginator.paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2})
        entries = [
            entry.get("Prefix") or (entry["Key"], entry["Size"])
            for page in pages
            for entry in page.get("Contents", []) + page.get("CommonPrefixes", [])
        ]
        equal(sorted(map(str, entries)), sorted(map(str, [("daily", 200_000), "x/", "y/", ("z", 1000)])), "the entries")


resolve_localhost()
for part in (
    everyday_operations,
    checksum_settings,
    multipart_checksums,
    managed_transfers,
    virtual_host_style,
    presigned,
):
    with step(f"{part.__name__.replace('_', ' ')}: all of it ran"):
        part()
