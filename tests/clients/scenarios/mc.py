"""mc, MinIO's client."""

import json
import shutil

from ..checks import equal, expect, same_files
from ..client import Client

RELEASE = "RELEASE.2025-03-12T17-29-24Z"
# The same; its release tags are no versions of a Go module.
VERSION = "v0.0.0-20250313080218-cf909e1063a9"
MIB = 1 << 20


def install(cache):
    """Built with Go."""
    return cache.go_program("github.com/minio/mc", VERSION)


def scenario(session):
    configuration = session.directory / "mc"
    authorities = configuration / "certs" / "CAs"
    authorities.mkdir(parents=True)
    if session.endpoint.ca_file:
        shutil.copy(session.endpoint.ca_file, authorities / "authority.crt")

    def mc(*arguments, **options):
        return session.run(session.tool, "--config-dir", configuration, "--quiet", *arguments, **options)

    def documents(*arguments):
        return [json.loads(line) for line in mc("--json", *arguments).text.splitlines()]

    with session.step("alias set"):
        endpoint = session.endpoint
        mc("alias", "set", "sealed", endpoint.url, endpoint.access_key_id, endpoint.secret_access_key)
    single_files(session, mc, documents)
    trees(session, mc, documents)


def single_files(session, mc, documents):
    bucket = session.bucket("files")
    remote = f"sealed/{bucket}"
    small, large = session.file("small.txt", 70_000), session.file("large.txt", 11 * MIB)
    back = session.directory / "back"
    with session.step("mb and ls"):
        mc("mb", remote)
        expect(f"{bucket}/" in [entry["key"] for entry in documents("ls", "sealed")], "the bucket is not listed")
    with session.step("cp with metadata"):
        mc("cp", "--attr", f"note={session.canary}", small, f"{remote}/dir/small.txt")
        session.expect(bucket, "dir/small.txt", small)
        (found,) = documents("stat", f"{remote}/dir/small.txt")
        equal(found["size"], 70_000, "the size")
        equal(found["metadata"].get("X-Amz-Meta-Note"), session.canary, "the metadata")
        mc("cp", f"{remote}/dir/small.txt", back)
        equal(back.read_bytes(), small.read_bytes(), "what came back")
    with session.step("put in parts, get"):
        mc("put", "--part-size", "5MiB", large, f"{remote}/large.txt")
        session.expect(bucket, "large.txt", large)
        mc("get", f"{remote}/large.txt", back)
        equal(back.read_bytes(), large.read_bytes(), "what came back")
    for algorithm in ("CRC32C", "CRC64NVME", "SHA256"):
        with session.step(f"put with {algorithm}, in parts and in one"):
            mc("put", "--checksum", algorithm, "--part-size", "5MiB", large, f"{remote}/{algorithm}-parts")
            mc("put", "--checksum", algorithm, small, f"{remote}/{algorithm}-one")
            session.expect(bucket, f"{algorithm}-parts", large)
            session.expect(bucket, f"{algorithm}-one", small)
    with session.step("pipe and cat"):
        body = session.file("piped", 300_000).read_bytes()
        mc("pipe", f"{remote}/piped", stdin=body)
        session.expect(bucket, "piped", body)
        equal(mc("cat", f"{remote}/piped").output, body, "what came out")
        equal(mc("cat", "--offset", "65530", f"{remote}/piped").output, body[65_530:], "what came out from an offset")
        first = b"".join(body.splitlines(keepends=True)[:3])
        equal(mc("head", "--lines", "3", f"{remote}/piped").output, first, "the first lines")
    with session.step("cp and mv between keys"):
        mc("cp", f"{remote}/large.txt", f"{remote}/copied")
        mc("mv", f"{remote}/copied", f"{remote}/moved")
        session.expect(bucket, "moved", large)
    with session.step("tag set and list"):
        mc("tag", "set", f"{remote}/piped", "color=blue")
        equal(documents("tag", "list", f"{remote}/piped")[0]["tagset"], {"color": "blue"}, "the tags")
    with session.step("ls, du and find show plaintext sizes"):
        expected = {key: found.size for key, found in session.expected[bucket].items()}
        found = {entry["key"]: entry["size"] for entry in documents("ls", "--recursive", remote)}
        equal(found, expected, "the listing")
        equal(documents("du", remote)[0]["size"], sum(expected.values()), "what du counts")
        names = sorted(entry["key"].rsplit("/", 1)[1] for entry in documents("find", remote, "--larger", "6MB"))
        equal(names, sorted(key for key, size in expected.items() if size > 6_000_000), "what find finds")
    with session.step("share download"):
        (shared,) = documents("share", "download", f"{remote}/piped")
        trust = ["--cacert", session.endpoint.ca_file] if session.endpoint.ca_file else []
        equal(session.run("curl", "-sS", "--fail", *trust, shared["share"]).output, body, "the body behind the URL")
    with session.step("rm"):
        mc("rm", f"{remote}/moved")
        session.forget(bucket, "moved")


def trees(session, mc, documents):
    bucket, tree = session.bucket("tree"), session.directory / "tree"
    remote = f"sealed/{bucket}"
    with session.step("mirror up"):
        mc("mb", remote)
        names = {"one.txt": 10, "deep/empty": 0, "deep/er/space and +.txt": 65_536, "ünï %25.txt": 9}
        for name, size in names.items():
            session.file(f"tree/{name}", size)
            session.expect(bucket, name, tree / name)
        mc("mirror", tree, remote)
    with session.step("diff finds nothing, then the change"):
        equal(documents("diff", tree, remote), [], "the differences")
        session.file("tree/one.txt", 11, seed="changed")
        (tree / "deep/empty").unlink()
        equal(len(documents("diff", tree, remote)), 2, "the number of differences")
    with session.step("mirror a change and a removal"):
        mc("mirror", "--overwrite", "--remove", tree, remote)
        session.expect(bucket, "one.txt", tree / "one.txt")
        session.forget(bucket, "deep/empty")
        equal(documents("diff", tree, remote), [], "the differences")
    with session.step("mirror down"):
        back = session.directory / "tree-back"
        mc("mirror", remote, back)
        same_files(back, tree)
    with session.step("rm --recursive and rb"):
        gone = session.bucket("gone")
        mc("mb", f"sealed/{gone}")
        mc("mirror", tree, f"sealed/{gone}")
        mc("rm", "--recursive", "--force", f"sealed/{gone}/deep")
        mc("rb", "--force", f"sealed/{gone}")


CLIENT = Client("mc", RELEASE, install, scenario)
