"""Ports for the servers that the packages beside this file start."""

import random
import socket


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
