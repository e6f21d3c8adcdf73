"""The storage, and the proxies in front of it."""

import json
import os
import pathlib
import shutil
import socket
import string
import subprocess
import sys
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from servers import Servers

ACCESS_KEY_ID, SECRET = "measurement", "measurement-secret"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "SECRET": SECRET}


def found(name):
    """A program in PATH, or where Debian has servers."""
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not program:
        raise SystemExit(f"{name} is missing: apt-get install {'nginx-light' if name == 'nginx' else name}, or leave it out of --columns")
    return program


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Deployment(Servers):
    def __init__(self, place, programs, regenerating=None):
        """`regenerating`: the deployment whose objects below regenerated/ the storage makes anew; its key file is made by `sealgate`."""
        super().__init__(place, programs)
        self.proxies, self.regenerating = {}, regenerating

    def __enter__(self):
        self.certificates()
        self.ca = self.place / "ca.pem"
        (self.place / "bundle.pem").write_text((self.place / "certificate.pem").read_text() + (self.place / "key.pem").read_text())
        command = [self.programs / "side-by-side-store", "--certificate", "certificate.pem", "--certificate-key", "key.pem"]
        if self.regenerating:
            command += ["--key-file", "local.key", "--deployment", self.regenerating, "--verbose"]
        self.store, self.store_tls = self.start("store", command).urls
        return self

    def write(self, template, name, **values):
        path = self.place / name
        path.write_text(string.Template((HERE / "proxies" / template).read_text()).substitute(
            values, ca=self.ca, certificate=self.place / "certificate.pem", key=self.place / "key.pem", bundle=self.place / "bundle.pem",
            store=urllib.parse.urlsplit(self.store).netloc, store_tls=urllib.parse.urlsplit(self.store_tls).netloc,
        ))
        return path

    def passing(self, name, template, command):
        """A proxy with a port for HTTP and one for TLS. Its processes are the same for both."""
        # nginx gives its workers to another user, who has to get here.
        self.place.chmod(0o755)
        port, port_tls = free_port(), free_port()
        path = self.write(template, template, port=port, port_tls=port_tls)
        program = self.start(name, [*command, path], port=port)
        self.proxies[name] = (program, *program.urls)
        self.proxies[f"{name}-tls"] = (program, f"https://127.0.0.1:{port_tls}")

    def nginx(self):
        self.passing("nginx", "nginx.conf", [found("nginx"), "-p", self.place, "-c"])

    def haproxy(self):
        self.passing("haproxy", "haproxy.cfg", [found("haproxy"), "-db", "-f"])

    def sealgate(self, name, program, tls=False, more=""):
        """A gateway; `more` is the end of its configuration."""
        key_file = self.place / "local.key"
        if not key_file.exists():
            self.run(program, "key-file", "create", key_file)
        certificates = f'tls = {{ certificate = "{self.place}/certificate.pem", key = "{self.place}/key.pem" }}'
        path = self.write(
            "sealgate.toml", f"{name}.toml", deployment=name, key_file=key_file, access_key_id=ACCESS_KEY_ID,
            endpoint=self.store_tls if tls else self.store, listener_tls=certificates if tls else "",
            upstream_tls=f'ca_file = "{self.ca}"' if tls else "", more=more,
        )
        gateway = self.start(name, [program, "serve", "--config", path], environment=ENVIRONMENT)
        self.proxies[name] = (gateway, *gateway.urls)

    def rclone(self, program):
        """`rclone serve s3` over a crypt remote. Names stay as they are, so that the storage can tell what it need not keep."""
        port = free_port()
        password = self.run(program, "obscure", SECRET).strip()
        environment = {
            "RCLONE_CONFIG": str(self.place / "rclone.conf"), "RCLONE_CONFIG_STORE_TYPE": "s3", "RCLONE_CONFIG_STORE_PROVIDER": "Other",
            "RCLONE_CONFIG_STORE_ENDPOINT": self.store, "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": "storage",
            "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": SECRET, "RCLONE_CONFIG_STORE_REGION": "us-east-1",
            "RCLONE_CONFIG_SEALED_TYPE": "crypt", "RCLONE_CONFIG_SEALED_REMOTE": "store:", "RCLONE_CONFIG_SEALED_PASSWORD": password,
            "RCLONE_CONFIG_SEALED_FILENAME_ENCRYPTION": "off", "RCLONE_CONFIG_SEALED_DIRECTORY_NAME_ENCRYPTION": "false",
        }
        command = [
            program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{ACCESS_KEY_ID},{SECRET}", "--vfs-cache-mode", "off", "sealed:"
        ]
        server = self.start("rclone", command, environment=environment, port=port)
        self.proxies["rclone"] = (server, *server.urls)

    def load(self, proxy, work, *options, **named):
        """Runs the load client against a proxy, with its options by name; returns what it counted."""
        program, url = self.proxies[proxy]
        command = [self.programs / "side-by-side-load", work, "--endpoint", url, "--ca", self.ca, *options]
        for name, value in named.items():
            command += [f"--{name}", value]
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, env={**os.environ, "RUST_LIB_BACKTRACE": "0", **ENVIRONMENT}
        )
        if done.returncode:
            raise SystemExit(f"{work} of {named} by {proxy} failed: {done.stderr}{program.log.read_text()}")
        return json.loads(done.stdout)
