"""The crates that secrets pass through, as docs/supply-chain.md lists them, compared with what is built.

A version that the list does not name has not been looked at: whoever updates a crate that is listed reads what changed, and then
writes the new version there.
"""

import re

from . import crates

LIST = "docs/supply-chain.md"

# A crate, its version, and when it sees anything. The table of unsafe code has numbers there.
_ROW = re.compile(r"^\| ([A-Za-z0-9_-]+) \| (\d[^ |]*) \| (byte|request|key|start) \|", re.MULTILINE)


def check(repository):
    listed = read(repository)
    problems = list(compare(listed, gateway(repository)))
    for problem in problems:
        print(f"{LIST}: {problem}")
    print(f"{len(listed)} crates listed, {len(problems)} problems")
    return 1 if problems else 0


def read(repository):
    """What is listed: names, versions, and when each sees anything."""
    return parse((repository / LIST).read_text(encoding="utf-8"))


def parse(text):
    return _ROW.findall(text)


def gateway(repository):
    """What is linked into the gateway, with all features, on any machine that releases are made for."""
    found = set()
    for target in crates.TARGETS:
        found |= crates.tree(
            repository, "--package", "sealgate", "--all-features", "--edges", "normal,no-proc-macro", "--target", target
        ).crates.keys()
    return found


def hot_path(listed):
    return {(name, version) for name, version, when in listed if when in ("byte", "request")}


def compare(rows, found):
    listed = [(name, version) for name, version, _ in rows]
    if not listed:
        yield "no crates are listed"
    for name, version in sorted(set(listed)):
        built = sorted(other for crate, other in found if crate == name)
        if version in built:
            continue
        if built:
            yield f"{name} is {' and '.join(built)} now: read what changed since {version}, then write that down"
        else:
            yield f"{name} is no part of the gateway any more: delete it"
    names = {name for name, _ in listed}
    for name, version in sorted(found):
        if name in names and (name, version) not in listed:
            yield f"{name} {version} is built too, and only other versions are listed"
    for name, version in sorted({key for key in listed if listed.count(key) > 1}):
        yield f"{name} {version} is listed twice"
