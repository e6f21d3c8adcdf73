"""minio-py: files, streams, composition, presigned URLs, tags, many deletions."""

import io
import pathlib
import ssl
import urllib.request
from datetime import timedelta

from minio import Minio
from minio.commonconfig import ComposeSource, CopySource, Tags
from minio.deleteobjects import DeleteObject
from steps import ACCESS_KEY_ID, CA_FILE, CANARY, ENDPOINT, PREFIX, SECRET_ACCESS_KEY, equal, gone, step, stored, text

MIB = 1 << 20
BUCKET = PREFIX + "files"
# It trusts what SSL_CERT_FILE names, as OpenSSL does.
client = Minio(
    ENDPOINT.split("://")[1],
    access_key=ACCESS_KEY_ID,
    secret_key=SECRET_ACCESS_KEY,
    secure=ENDPOINT.startswith("https://"),
)


def fetch(url, data=None, method="GET"):
    context = ssl.create_default_context(cafile=CA_FILE) if CA_FILE else None
    request = urllib.request.Request(url, data=data, method=method)
    with urllib.request.urlopen(request, context=context, timeout=60) as answer:
        return answer.read()


small, large = text("small", 70_000), text("large", 11 * MIB + 3)
with step("make_bucket and bucket_exists"):
    client.make_bucket(BUCKET)
    equal(client.bucket_exists(BUCKET), True, "bucket_exists")
    equal(client.bucket_exists(BUCKET + "-no"), False, "bucket_exists of none")
with step("fput_object and fget_object"):
    pathlib.Path("small").write_bytes(small)
    client.fput_object(BUCKET, "a b+c/small", "small", metadata={"note": CANARY}, content_type="text/plain")
    stored(BUCKET, "a b+c/small", small)
    client.fget_object(BUCKET, "a b+c/small", "back")
    equal(pathlib.Path("back").read_bytes(), small, "what came back")
with step("stat_object"):
    found = client.stat_object(BUCKET, "a b+c/small")
    equal((found.size, found.content_type), (70_000, "text/plain"), "size and content type")
    equal(found.metadata.get("x-amz-meta-note"), CANARY, "the metadata")
with step("put_object in parts, of known length"):
    client.put_object(BUCKET, "large", io.BytesIO(large), len(large), part_size=5 * MIB)
    stored(BUCKET, "large", large)
with step("put_object in parts, of unknown length"):
    client.put_object(BUCKET, "streamed", io.BytesIO(large), -1, part_size=5 * MIB)
    stored(BUCKET, "streamed", large)
with step("get_object with an offset"):
    for offset, length in ((0, 10), (5 * MIB - 5, 10), (len(large) - 10, 10)):
        answer = client.get_object(BUCKET, "large", offset=offset, length=length)
        equal(answer.read(), large[offset : offset + length], f"{length} bytes at {offset}")
        answer.close()
        answer.release_conn()
with step("list_objects shows plaintext sizes"):
    found = {entry.object_name: entry.size for entry in client.list_objects(BUCKET, recursive=True)}
    equal(found, {"a b+c/small": 70_000, "large": len(large), "streamed": len(large)}, "the listing")
    names = sorted(entry.object_name for entry in client.list_objects(BUCKET))
    equal(names, ["a b+c/", "large", "streamed"], "one level")
with step("copy_object"):
    client.copy_object(BUCKET, "copied", CopySource(BUCKET, "a b+c/small"))
    stored(BUCKET, "copied", small)
with step("compose_object"):
    client.compose_object(BUCKET, "composed", [ComposeSource(BUCKET, "large"), ComposeSource(BUCKET, "copied")])
    stored(BUCKET, "composed", large + small)
with step("compose_object of ranges"):
    client.compose_object(
        BUCKET,
        "ranges",
        [ComposeSource(BUCKET, "large", offset=1000, length=6 * MIB), ComposeSource(BUCKET, "copied", offset=5)],
    )
    stored(BUCKET, "ranges", large[1000 : 1000 + 6 * MIB] + small[5:])
with step("presigned GET and PUT"):
    equal(fetch(client.presigned_get_object(BUCKET, "a b+c/small", expires=timedelta(minutes=5))), small, "the body")
    fetch(client.presigned_put_object(BUCKET, "put", expires=timedelta(minutes=5)), small, "PUT")
    stored(BUCKET, "put", small)
with step("tags of an object"):
    tags = Tags.new_object_tags()
    tags["color"] = "blue"
    client.set_object_tags(BUCKET, "put", tags)
    equal(dict(client.get_object_tags(BUCKET, "put")), {"color": "blue"}, "the tags")
    client.delete_object_tags(BUCKET, "put")
    equal(client.get_object_tags(BUCKET, "put"), None, "the tags after their removal")
with step("remove_objects and remove_object"):
    for index in range(5):
        client.put_object(BUCKET, f"many/{index}", io.BytesIO(small), len(small))
    names = [DeleteObject(f"many/{index}") for index in range(5)]
    equal(list(client.remove_objects(BUCKET, names)), [], "the errors")
    client.remove_object(BUCKET, "put")
    gone(BUCKET, "put")
