"""s3cmd: a tree up, listed, synchronised, down again."""

from ..checks import equal, expect, same_files
from ..client import Client

VERSION = "2.4.0"
MIB = 1 << 20


def install(cache):
    """The program beside the interpreter of its environment."""
    return cache.python("s3cmd", f"s3cmd=={VERSION}").parent / "s3cmd"


def scenario(session):
    configuration = session.directory / ".s3cfg"
    configuration.write_text(
        f"""[default]
host_base = {session.endpoint.authority}
host_bucket = {session.endpoint.authority}
access_key = {session.endpoint.access_key_id}
secret_key = {session.endpoint.secret_access_key}
use_https = {session.endpoint.secure}
"""
        + (f"ca_certs_file = {session.endpoint.ca_file}\n" if session.endpoint.ca_file else "")
    )
    bucket = session.bucket("files")

    def s3cmd(*arguments, **options):
        return session.run(session.tool, "--no-progress", *arguments, **options)

    with session.step("mb"):
        s3cmd("mb", f"s3://{bucket}")
    with session.step("put a small file with metadata"):
        small = session.file("small.txt", 3000)
        s3cmd("put", f"--add-header=x-amz-meta-note:{session.canary}", small, f"s3://{bucket}/a b+c/small.txt")
        session.expect(bucket, "a b+c/small.txt", small)
    with session.step("put in parts"):
        large = session.file("large.txt", 12 * MIB + 5)
        s3cmd("put", "--multipart-chunk-size-mb=5", large, f"s3://{bucket}/large.txt")
        session.expect(bucket, "large.txt", large)
    with session.step("put from standard input"):
        body = session.file("piped", 70_000).read_bytes()
        s3cmd("put", "-", f"s3://{bucket}/piped", stdin=body)
        session.expect(bucket, "piped", body)
    with session.step("get"):
        for key, source in (("a b+c/small.txt", small), ("large.txt", large)):
            back = session.directory / "back"
            s3cmd("get", "--force", f"s3://{bucket}/{key}", back)
            equal(back.read_bytes(), source.read_bytes(), key)
    with session.step("get goes on where a file ends"):
        back = session.directory / "continued"
        back.write_bytes(large.read_bytes()[:1_000_000])
        s3cmd("get", "--continue", f"s3://{bucket}/large.txt", back)
        equal(back.read_bytes(), large.read_bytes(), "the file that was continued")
    with session.step("ls and du show plaintext sizes"):
        listing = s3cmd("ls", "--recursive", f"s3://{bucket}").text
        sizes = {line.split("s3://")[1].split("/", 1)[1]: int(line.split()[2]) for line in listing.splitlines()}
        expected = {key: found.size for key, found in session.expected[bucket].items()}
        equal(sizes, expected, "the listing")
        equal(int(s3cmd("du", f"s3://{bucket}").text.split()[0]), sum(expected.values()), "what du counts")
    with session.step("info"):
        words = s3cmd("info", f"s3://{bucket}/a b+c/small.txt").text
        expect("3000" in words and session.canary in words, f"size or metadata is missing in {words}")
    tree = session.directory / "tree"
    with session.step("sync a tree up"):
        for name, size in (("one.txt", 100), ("deep/two.txt", 0), ("deep/er/ü %41.txt", 66_000)):
            session.file(f"tree/{name}", size)
            session.expect(bucket, f"tree/{name}", tree / name)
        s3cmd("sync", f"{tree}/", f"s3://{bucket}/tree/")
    with session.step("sync again moves nothing"):
        words = s3cmd("sync", f"{tree}/", f"s3://{bucket}/tree/").text
        expect("upload:" not in words, f"files went up again: {words}")
    with session.step("sync a change and a removal up"):
        session.file("tree/one.txt", 150, seed="changed")
        (tree / "deep/two.txt").unlink()
        s3cmd("sync", "--delete-removed", f"{tree}/", f"s3://{bucket}/tree/")
        session.expect(bucket, "tree/one.txt", tree / "one.txt")
        session.forget(bucket, "tree/deep/two.txt")
    with session.step("sync down"):
        back = session.directory / "tree-back"
        back.mkdir()
        s3cmd("sync", f"s3://{bucket}/tree/", f"{back}/")
        same_files(back, tree)
    with session.step("cp and mv"):
        s3cmd("cp", f"s3://{bucket}/piped", f"s3://{bucket}/copied")
        s3cmd("mv", f"s3://{bucket}/copied", f"s3://{bucket}/moved")
        session.expect(bucket, "moved", session.directory / "piped")
    with session.step("modify changes metadata"):
        s3cmd("modify", "--add-header=x-amz-meta-note:other", f"s3://{bucket}/moved")
        expect("other" in s3cmd("info", f"s3://{bucket}/moved").text, "the new metadata is missing")
    with session.step("del"):
        s3cmd("del", f"s3://{bucket}/piped")
        session.forget(bucket, "piped")
    with session.step("rb of a bucket that is empty again"):
        other = session.bucket("empty")
        s3cmd("mb", f"s3://{other}")
        s3cmd("put", small, f"s3://{other}/x")
        s3cmd("del", "--recursive", "--force", f"s3://{other}")
        s3cmd("rb", f"s3://{other}")


CLIENT = Client("s3cmd", VERSION, install, scenario)
