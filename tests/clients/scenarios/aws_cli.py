"""The aws CLI, versions 1 and 2: `s3` with files, pipes and trees, and `s3api` with checksums and ranges."""

import json
import os
import pathlib

from ..checks import equal, expect, same_files
from ..client import Client

MIB = 1 << 20
# What version 2.9 knows; version 1 is tried with CRC64NVME too.
ALGORITHMS = ("CRC32", "CRC32C", "SHA1", "SHA256")
# What version 2 needs of PyPI where Debian's package is only unpacked, not installed.
REQUIREMENTS = (
    "awscrt==0.19.19",
    "colorama==0.4.6",
    "cryptography==42.0.8",
    "distro==1.9.0",
    "docutils==0.23",
    "jmespath==1.1.0",
    "prompt-toolkit==3.0.53",
    "python-dateutil==4.0.0",
    "ruamel.yaml==0.17.40",
    "urllib3==1.26.20",
)


def install_version_1(_):
    """It comes with the environment in which this runs (tests/requirements.txt)."""
    program = pathlib.Path(os.environ["SEALGATE_TEST_VENV"])
    # Its file names the interpreter of its installation; run by ours, the environment may be moved.
    return [program / "bin" / "python", program / "bin" / "aws"]


def install_version_2(cache):
    """It is not on PyPI. Debian's package holds it as Python, all but what it needs of others."""
    package = cache.debian_package("awscli", "usr/lib/python3/dist-packages/awscli/__main__.py")
    python = cache.python("aws-cli-2", *REQUIREMENTS)
    return ["env", f"PYTHONPATH={package / 'usr/lib/python3/dist-packages'}", python, "-m", "awscli"]


def scenario_of(version):
    """What users of either version do."""

    def scenario(session):
        def aws(*arguments, **options):
            command = [*session.tool, "--endpoint-url", session.endpoint.url, *arguments]
            return session.run(*command, environment=session.aws_environment, **options)

        files(session, aws, version)
        trees(session, aws)
        presigned(session, aws)
        single_operations(session, aws, version)

    return scenario


def files(session, aws, version):
    bucket = session.bucket("files")
    with session.step("s3 mb"):
        aws("s3", "mb", f"s3://{bucket}")
    small, large = session.file("small.txt", 10_000), session.file("large.txt", 20 * MIB + 77)
    back = session.directory / "back"
    with session.step("s3 cp, small, with metadata"):
        aws("s3", "cp", small, f"s3://{bucket}/dir/small.txt", "--metadata", f"note={session.canary}")
        session.expect(bucket, "dir/small.txt", small)
        aws("s3", "cp", f"s3://{bucket}/dir/small.txt", back)
        equal(back.read_bytes(), small.read_bytes(), "what came back")
    with session.step("s3 cp, multipart, up and down"):
        aws("s3", "cp", large, f"s3://{bucket}/large.txt", "--metadata", f"note={session.canary}")
        session.expect(bucket, "large.txt", large)
        aws("s3", "cp", f"s3://{bucket}/large.txt", back)
        equal(back.read_bytes(), large.read_bytes(), "what came back")
    with session.step("s3 cp from and to a pipe"):
        body = session.file("piped", 9 * MIB).read_bytes()
        aws("s3", "cp", "-", f"s3://{bucket}/piped", stdin=body)
        session.expect(bucket, "piped", body)
        equal(aws("s3", "cp", f"s3://{bucket}/piped", "-").output, body, "what came out")
    with session.step("s3 cp between keys, multipart too"):
        aws("s3", "cp", f"s3://{bucket}/dir/small.txt", f"s3://{bucket}/copy/small.txt")
        session.expect(bucket, "copy/small.txt", small)
        aws("s3", "cp", f"s3://{bucket}/large.txt", f"s3://{bucket}/copy/large.txt")
        session.expect(bucket, "copy/large.txt", large)
        # Version 1 of the CLI does not copy the metadata of an object that it copies in parts.
        for key in ["copy/small.txt"] + (["copy/large.txt"] if version == 2 else []):
            head = json.loads(aws("s3api", "head-object", "--bucket", bucket, "--key", key).text)
            equal(head["Metadata"], {"note": session.canary}, f"the metadata of {key}")
    with session.step("s3 mv"):
        aws("s3", "mv", f"s3://{bucket}/copy/small.txt", f"s3://{bucket}/moved/small.txt")
        session.forget(bucket, "copy/small.txt")
        session.expect(bucket, "moved/small.txt", small)
    with session.step("s3 ls --summarize shows plaintext sizes"):
        lines = aws("s3", "ls", "--recursive", "--summarize", f"s3://{bucket}").text.splitlines()
        sizes = {line.split()[3]: int(line.split()[2]) for line in lines if len(line.split()) == 4}
        expected = {key: found.size for key, found in session.expected[bucket].items()}
        equal(sizes, expected, "the listing")
        total = next(line for line in lines if "Total Size" in line)
        equal(int(total.split(":")[1]), sum(expected.values()), "the total")
    with session.step("s3 rm"):
        aws("s3", "rm", f"s3://{bucket}/piped")
        session.forget(bucket, "piped")
    with session.step("s3 rb --force"):
        other = session.bucket("gone")
        aws("s3", "mb", f"s3://{other}")
        aws("s3", "cp", small, f"s3://{other}/a")
        aws("s3", "rb", "--force", f"s3://{other}")


def trees(session, aws):
    bucket, tree, back = session.bucket("tree"), session.directory / "tree", session.directory / "tree-back"
    names = {"one.txt": 10, "deep/empty": 0, "deep/er/space and +.txt": 65_536, "ünïcode/%25 & <x>.txt": 65_537}
    with session.step("s3 sync up"):
        for name, size in names.items():
            session.file(f"tree/{name}", size)
            session.expect(bucket, name, tree / name)
        aws("s3", "mb", f"s3://{bucket}")
        aws("s3", "sync", tree, f"s3://{bucket}")
    with session.step("s3 sync again moves nothing"):
        equal(aws("s3", "sync", tree, f"s3://{bucket}").text.strip(), "", "what went up again")
    with session.step("s3 sync a change and a removal with --delete"):
        session.file("tree/one.txt", 11, seed="changed")
        (tree / "deep/empty").unlink()
        words = aws("s3", "sync", "--delete", tree, f"s3://{bucket}").text
        equal((words.count("upload:"), words.count("delete:")), (1, 1), "uploads and deletions")
        session.expect(bucket, "one.txt", tree / "one.txt")
        session.forget(bucket, "deep/empty")
    with session.step("s3 sync down, and down again with a change"):
        aws("s3", "sync", f"s3://{bucket}", back)
        same_files(back, tree)
        equal(aws("s3", "sync", f"s3://{bucket}", back).text.strip(), "", "what came down again")
        (back / "one.txt").write_bytes(b"shorter")
        (back / "more").write_bytes(b"more")
        aws("s3", "sync", "--delete", f"s3://{bucket}", back)
        same_files(back, tree)
    with session.step("s3 rm --recursive of a prefix"):
        aws("s3", "rm", "--recursive", f"s3://{bucket}/deep")
        session.forget(bucket, "deep/er/space and +.txt")


def presigned(session, aws):
    with session.step("s3 presign and curl"):
        # Version 1 of the CLI presigns with version 2 of the signature in us-east-1, unless it is told.
        where = f"s3://{session.bucket('files')}/dir/small.txt"
        url = aws("s3", "presign", "--region", "eu-central-1", where).text.strip()
        trust = ["--cacert", session.endpoint.ca_file] if session.endpoint.ca_file else []
        curl = ["curl", "--silent", "--show-error", "--fail", *trust]
        body = (session.directory / "small.txt").read_bytes()
        equal(session.run(*curl, url).output, body, "the body behind the URL")
        equal(session.run(*curl, "--range", "100-199", url).output, body[100:200], "a range of it")


def single_operations(session, aws, version):
    bucket, body = session.bucket("api"), session.file("api.txt", 100_000)
    target = session.directory / "api-back"

    def api(operation, *arguments):
        words = aws("s3api", operation, "--bucket", bucket, *arguments).text
        return json.loads(words) if words.strip() else {}

    with session.step("s3api create-bucket"):
        api("create-bucket")
    for algorithm in ALGORITHMS + (("CRC64NVME",) if version == 1 else ()):
        with session.step(f"s3api put and get with {algorithm}"):
            key = f"sum-{algorithm}"
            sent = api("put-object", "--key", key, "--body", body, "--checksum-algorithm", algorithm)
            session.expect(bucket, key, body)
            field = f"Checksum{algorithm}"
            expect(sent.get(field), f"PutObject returned no {field}: {sent}")
            found = api("get-object", "--key", key, "--checksum-mode", "ENABLED", target)
            equal(found.get(field), sent[field], "the checksum of GET")
            equal(target.read_bytes(), body.read_bytes(), "the body")
    with session.step("s3api head-object with its checksum"):
        head = api("head-object", "--key", "sum-CRC32", "--checksum-mode", "ENABLED")
        expect(head["ContentLength"] == 100_000 and head.get("ChecksumCRC32"), f"length or checksum in {head}")
    with session.step("s3api get-object with a range"):
        found = api("get-object", "--key", "sum-CRC32", "--range", "bytes=65530-65545", target)
        equal(found["ContentRange"], "bytes 65530-65545/100000", "the range")
        equal(target.read_bytes(), body.read_bytes()[65530:65546], "the bytes of the range")
    with session.step("s3api get-object-attributes"):
        found = api("get-object-attributes", "--key", "sum-SHA256", "--object-attributes", "ObjectSize", "Checksum")
        equal(found["ObjectSize"], 100_000, "the size")
        expect(found["Checksum"].get("ChecksumSHA256"), f"no checksum in {found}")
    with session.step("s3api wait, list and delete"):
        aws("s3api", "wait", "object-exists", "--bucket", bucket, "--key", "sum-CRC32")
        found = api("list-objects-v2", "--prefix", "sum-SHA")
        equal([entry["Size"] for entry in found["Contents"]], [100_000, 100_000], "the sizes")
        api("delete-object", "--key", "sum-SHA1")
        session.forget(bucket, "sum-SHA1")


CLIENTS = [
    Client("aws-cli-1", "1.46.3", install_version_1, scenario_of(1)),
    Client("aws-cli-2", "2.9.19", install_version_2, scenario_of(2), transports=("https",)),
]
