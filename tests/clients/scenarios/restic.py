"""restic: backups, their verification, and back again."""

import json
import random

from ..checks import equal, expect, same_files
from ..client import Client

MIB = 1 << 20


def install(cache):
    """Debian's, or what is in PATH; the version is that of Debian 12."""
    return cache.debian_program("restic", "restic")


def scenario(session):
    bucket = session.bucket("repository")
    environment = session.aws_environment | {
        "RESTIC_REPOSITORY": f"s3:{session.endpoint.url}/{bucket}/backups",
        "RESTIC_PASSWORD": "a password of restic's own",
        "RESTIC_PROGRESS_FPS": "0",
    }
    trust = ["--cacert", session.endpoint.ca_file] if session.endpoint.ca_file else []

    def restic(*arguments):
        return session.run(session.tool, *trust, *arguments, environment=environment)

    tree = session.directory / "tree"
    # What restic can't deduplicate or compress, so that its packs are large enough to go up in parts.
    noise = random.Random(20)

    def backup():
        lines = restic("backup", "--json", tree).text.splitlines()
        return json.loads(lines[-1])

    with session.step("init"):
        restic("init")
    with session.step("backup"):
        session.file("tree/text.txt", 500_000)
        session.file("tree/deep/ünïcode.txt", 1000)
        (tree / "noise").write_bytes(noise.randbytes(20 * MIB))
        equal(backup()["files_new"], 3, "the number of new files")
    first = session.directory / "first"
    with session.step("a second backup stores only what changed"):
        restic("restore", "latest", "--target", first)
        session.file("tree/more.txt", 70_000)
        (tree / "noise").write_bytes(noise.randbytes(8 * MIB))
        summary = backup()
        equal((summary["files_new"], summary["files_changed"]), (1, 1), "new and changed files")
        expect(summary["data_added"] < 10 * MIB, f"{summary['data_added']} bytes were added")
    with session.step("snapshots and stats"):
        equal(len(json.loads(restic("snapshots", "--json").text)), 2, "the number of snapshots")
        stats = json.loads(restic("stats", "--json", "latest").text)
        size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
        equal(stats["total_size"], size, "the size of the latest snapshot")
    with session.step("check --read-data"):
        expect("no errors were found" in restic("check", "--read-data").text, "check has not said that all is well")
    with session.step("restore"):
        back = session.directory / "back"
        restic("restore", "latest", "--target", back)
        same_files(back / tree.relative_to("/"), tree)
    with session.step("dump one file"):
        equal(restic("dump", "latest", tree / "text.txt").output, (tree / "text.txt").read_bytes(), "the file")
    with session.step("forget --prune"):
        words = restic("forget", "--keep-last", "1", "--prune").text
        expect("1 snapshots have been removed" in words or "remove 1 snapshots" in words, words[-600:])
        equal(len(json.loads(restic("snapshots", "--json").text)), 1, "the number of snapshots")
    with session.step("check and restore after pruning"):
        restic("check", "--read-data")
        again = session.directory / "again"
        restic("restore", "latest", "--target", again)
        same_files(again / tree.relative_to("/"), tree)
    with session.step("no lock is left"):
        equal(restic("list", "locks").text.strip(), "", "the locks")


CLIENT = Client("restic", "0.14.0", install, scenario, encrypts=True)
