"""What the packages beside this file need to start servers."""

import random
import socket
import urllib.error
import urllib.request


def free_port():
    """A port that nobody listens on at this moment, below those that the system gives to connections."""
    ports = random.sample(range(15_000, 32_000), k=200)
    for port in ports:
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError(f"none of {len(ports)} ports on 127.0.0.1 is free")


def minio_serves(url):
    """Whether a MinIO refuses a request without a signature, as it does once it knows its storage: its health page says 200 sooner."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return False
    except urllib.error.HTTPError as refusal:
        return refusal.code == 403
    except OSError:
        return False
