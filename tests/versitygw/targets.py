"""What cases run against: a storage, bare or behind a gateway, which every case finds as if it were the first."""

import pathlib
import shutil
import tempfile

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local_servers import free_port, minio_serves

from .processes import Process, listens

REGION = "us-east-1"

# Storage and gateway take the same key, because cases compare owners with the key that they sign with.
ACCESS_KEY_ID = "suite-access-key"
SECRET_ACCESS_KEY = "suite-secret-access-key"

# The alias of the gateway's key at the key server.
KEY = "alias/versitygw-suite"

# The gateway's own bucket, which stays from case to case.
STATE_BUCKET = "sealgate-state"

UPSTREAMS = ("minio", "posix")

# The targets that have not been closed, for whoever has to end early.
_open = set()


def close_all():
    """Ends all processes and removes all directories of this run."""
    for target in list(_open):
        target.close()


class Target:
    """A fresh storage, `minio` or `posix` (versitygw's own), and before it a gateway where `sealed`. To be closed."""

    def __init__(self, programs, upstream, sealed):
        self.programs = programs
        self.upstream = upstream
        self.sealed = sealed
        self.name = f"{upstream}, {'through' if sealed else 'bare'}"
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"sealgate-versitygw-{upstream}-"))
        self.generation = 0
        self.processes = []
        self.closed = False
        self.endpoint = None
        self.storage = None
        _open.add(self)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        """Starts storage and gateway on a directory that nothing has lain in."""
        self.generation += 1
        place = self.directory / str(self.generation)
        place.mkdir()
        storage_url = {"minio": self.start_minio, "posix": self.start_posix}[self.upstream](place)
        self.storage = boto3.client(
            "s3",
            endpoint_url=storage_url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
            config=Config(
                signature_version="s3v4",
                retries={"total_max_attempts": 1},
                connect_timeout=5,
                read_timeout=30,
                s3={"addressing_style": "path"},
            ),
        )
        self.endpoint = self.start_gateway(place, storage_url) if self.sealed else storage_url

    def launch(self, name, command, directory, **variables):
        process = Process(name, command, directory, variables)
        self.processes.append(process)
        if self.closed:
            # Ended in the middle of a start by another thread, which may not have seen this process.
            process.end()
            raise RuntimeError(f"{self.name} was closed")
        return process

    def start_minio(self, place):
        port, console = free_port(), free_port()
        process = self.launch(
            "minio",
            [self.programs.minio, "server", place / "data", "--address", f"127.0.0.1:{port}"]
            + ["--console-address", f"127.0.0.1:{console}"],
            place,
            MINIO_ROOT_USER=ACCESS_KEY_ID,
            MINIO_ROOT_PASSWORD=SECRET_ACCESS_KEY,
            MINIO_CI_CD="1",
            MINIO_BROWSER="off",
            MINIO_UPDATE="off",
        )
        url = f"http://127.0.0.1:{port}"
        process.wait_until(lambda: minio_serves(url))
        return url

    def start_posix(self, place):
        port = free_port()
        for name in ("data", "versions"):
            (place / name).mkdir()
        process = self.launch(
            "posix",
            [self.programs.versitygw, "--access", ACCESS_KEY_ID, "--secret", SECRET_ACCESS_KEY]
            + ["--region", REGION, "--port", f"127.0.0.1:{port}"]
            + ["posix", "--versioning-dir", place / "versions", place / "data"],
            place,
        )
        process.wait_until(lambda: listens(port))
        return f"http://127.0.0.1:{port}"

    def start_gateway(self, place, storage_url):
        key_server = self.launch(
            "key-server",
            [self.programs.own("sealgate-kms-mock"), "--listen", "127.0.0.1:0", "--create-alias", KEY]
            + ["--state-dir", place / "keys"]
            + ["--principal", "name=gateway,access-key-id=AKIAKEYSERVER,secret=env:KEY_SERVER_SECRET,operations=*"],
            place,
            KEY_SERVER_SECRET=SECRET_ACCESS_KEY,
        )
        configuration = place / "sealgate.toml"
        configuration.write_text(
            f"""
deployment = "versitygw-suite"

[listener]
address = "127.0.0.1:0"
regions = ["{REGION}"]

[upstream]
endpoint = "{storage_url}"
region = "{REGION}"
credentials = {{ access_key_id = "{ACCESS_KEY_ID}", secret_access_key = "env:SUITE_SECRET" }}

[state]
bucket = "{STATE_BUCKET}"

[[key_service]]
type = "aws-kms"
key = "{KEY}"
endpoint = "{key_server.ready_url()}"
region = "{REGION}"
credentials = {{ access_key_id = "AKIAKEYSERVER", secret_access_key = "env:SUITE_SECRET" }}

[[identity]]
name = "suite"

[[identity.credential]]
access_key_id = "{ACCESS_KEY_ID}"
secret_access_key = "env:SUITE_SECRET"
""",
            encoding="utf-8",
        )
        gateway = self.launch(
            "gateway",
            [self.programs.own("sealgate"), "serve", "--config", configuration],
            place,
            SUITE_SECRET=SECRET_ACCESS_KEY,
        )
        return gateway.ready_url()

    def clean(self):
        """Removes what a case left behind; where that does not work (locked objects do not go), all is started afresh."""
        try:
            for bucket in self.storage.list_buckets()["Buckets"]:
                if bucket["Name"] != STATE_BUCKET:
                    self.remove_bucket(bucket["Name"])
        except (ClientError, BotoCoreError):
            self.stop()
            self.start()

    def remove_bucket(self, name):
        while uploads := self.storage.list_multipart_uploads(Bucket=name).get("Uploads"):
            for upload in uploads:
                self.storage.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
        for page in self.storage.get_paginator("list_object_versions").paginate(Bucket=name):
            for version in page.get("Versions", []) + page.get("DeleteMarkers", []):
                self.storage.delete_object(
                    Bucket=name,
                    Key=version["Key"],
                    VersionId=version["VersionId"],
                    BypassGovernanceRetention=True,
                )
        self.storage.delete_bucket(Bucket=name)

    def last_words(self):
        """The ends of all logs."""
        return "\n".join(process.last_words() for process in self.processes)

    def stop(self):
        """Ends the processes; gateways before what they need."""
        while self.processes:
            self.processes.pop().end()

    def close(self):
        """Ends the processes and removes the directory."""
        self.closed = True
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        _open.discard(self)
