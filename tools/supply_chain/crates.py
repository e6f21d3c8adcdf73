"""Which crates there are, as cargo says it.

`cargo tree` and not `cargo metadata`: the latter lists what optional dependencies would bring, and adds up the features of
the whole workspace.
"""

import dataclasses
import json
import re
import subprocess
import tomllib

# The machines that releases are made for, as in deny.toml.
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")

_LINE = re.compile(r"^(\d+)\t(\S+) v(\S+)(?: \(([^)]*)\))?(?: \(([^)]*)\))?\t([^\t]*)\t([^\t]*?)(?: \(\*\))?$")


class CargoFailed(Exception):
    """What cargo printed."""


@dataclasses.dataclass(frozen=True, order=True)
class Crate:
    name: str
    version: str
    licence: str
    ours: bool
    """In this workspace."""

    @property
    def key(self):
        return (self.name, self.version)


@dataclasses.dataclass
class Tree:
    root: Crate
    crates: dict
    """By name and version."""
    features: dict
    """The features that are on, by name and version."""
    edges: dict
    """The names and versions of what each needs, by its own."""


def run(repository, *arguments):
    result = subprocess.run(["cargo", *arguments], cwd=repository, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise CargoFailed(f"cargo {' '.join(arguments)}:\n{result.stderr}")
    return result.stdout


def tree(repository, *arguments):
    return parse(run(repository, "tree", "--locked", "--prefix", "depth", "--format", "\t{p}\t{l}\t{f}", *arguments))


def parse(text):
    """A tree from what `cargo tree` printed. What was listed before is listed again without what it needs."""
    crates, features, edges, path = {}, {}, {}, []
    root = None
    for line in text.splitlines():
        if not line:
            continue  # Between the members of a workspace.
        match = _LINE.match(line)
        if match is None:
            raise CargoFailed(f"cargo tree printed a line of another form: {line!r}")
        depth, name, version, first, second, licence, enabled = match.groups()
        notes = [note for note in (first, second) if note and note != "proc-macro"]
        crate = Crate(name, version, licence, ours=any(note.startswith("/") for note in notes))
        root = root or crate
        crates[crate.key] = crate
        features.setdefault(crate.key, set()).update(filter(None, enabled.split(",")))
        edges.setdefault(crate.key, set())
        del path[int(depth) :]
        if path:
            edges[path[-1]].add(crate.key)
        path.append(crate.key)
    if root is None:
        raise CargoFailed("cargo tree printed nothing")
    return Tree(root, crates, features, edges)


def locked(repository):
    """What Cargo.lock says of each crate, by name and version: its source and its checksum."""
    with open(repository / "Cargo.lock", "rb") as file:
        packages = tomllib.load(file)["package"]
    return {(package["name"], package["version"]): package for package in packages}


def manifests(repository):
    """What `cargo metadata` says of each crate, by name and version; more of them than are in any tree."""
    packages = json.loads(run(repository, "metadata", "--locked", "--format-version", "1"))["packages"]
    return {(package["name"], package["version"]): package for package in packages}
