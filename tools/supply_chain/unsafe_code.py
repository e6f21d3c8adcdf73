"""Counts unsafe code in the sources of crates, as a table in Markdown.

Sources are split into tokens, so that comments, strings and documentation do not count, and neither does what stands behind
`#[cfg(test)]`. What is counted is written, not compiled: code for other machines and other features counts, what macros of
other crates put in does not, and neither C nor assembler does.
"""

import collections
import pathlib
import re
import tomllib

from . import crates, reviewed

_TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*|/\*)
  | (?P<raw>\b(?:br|cr|r)(?P<hashes>\#*)")
  | (?P<string>\b[bc]?"(?:[^"\\]|\\.)*"|"(?:[^"\\]|\\.)*")
  | (?P<character>\bb?'(?:[^'\\]|\\(?:u\{[^}]*\}|x..|.))'|'(?:[^'\\]|\\(?:u\{[^}]*\}|x..|.))')
  | (?P<word>(?:r\#)?[A-Za-z_][A-Za-z0-9_]*|[0-9][A-Za-z0-9_]*)
  | (?P<lifetime>'[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>[^\s])
    """,
    re.VERBOSE | re.DOTALL,
)

KINDS = ("blocks", "functions", "impls", "traits")


def table(repository, of_all):
    chosen = sorted(reviewed.gateway(repository) if of_all else reviewed.hot_path(reviewed.read(repository)))
    manifests = crates.manifests(repository)
    print(f"| crate | version | {' | '.join(KINDS)} | lines | |")
    print(f"|---|---|{'---|' * len(KINDS)}---|---|")
    total, without = collections.Counter(), 0
    for key in chosen:
        if manifests[key]["source"] is None:
            continue  # Ours, which forbid it.
        counted, lines, forbidden = of_crate(pathlib.Path(manifests[key]["manifest_path"]).parent)
        total += counted
        without += not any(counted.values())
        cells = " | ".join(str(counted[kind]) for kind in KINDS)
        print(f"| {key[0]} | {key[1]} | {cells} | {lines} | {'forbids it' if forbidden else ''} |")
    print(f"\n{len(chosen)} crates, {without} of them without unsafe code; {', '.join(f'{total[kind]} {kind}' for kind in KINDS)}.")
    return 0


def of_crate(directory):
    """What is counted, the lines of source, and whether the crate forbids unsafe code to itself."""
    counted, lines = collections.Counter(), 0
    with open(directory / "Cargo.toml", "rb") as file:
        lint = tomllib.load(file).get("lints", {}).get("rust", {}).get("unsafe_code")
    forbidden = lint == "forbid" or (isinstance(lint, dict) and lint.get("level") == "forbid")
    for path in sorted((directory / "src").rglob("*.rs")):
        if {"tests", "benches", "examples"} & set(path.relative_to(directory).parts) or path.stem in ("tests", "test"):
            continue
        source = path.read_text(encoding="utf-8")
        lines += source.count("\n")
        words = without_tests(tokens(source))
        counted += count(words)
        if path.name == "lib.rs" and path.parent == directory / "src":
            forbidden = forbidden or forbids(words)
    return counted, lines, forbidden


def tokens(source):
    """The words and signs of Rust source: no comments, no literals but numbers."""
    result, position = [], 0
    while (match := _TOKEN.search(source, position)) is not None:
        position = match.end()
        if match["comment"] == "/*":
            position = end_of_comment(source, position)
        elif match["raw"] is not None:
            end = source.find('"' + match["hashes"], position)
            position = len(source) if end < 0 else end + 1 + len(match["hashes"])
        elif match["word"] or match["sign"]:
            result.append(match[0])
    return result


def end_of_comment(source, position):
    depth = 1
    while depth > 0:
        match = re.compile(r"/\*|\*/").search(source, position)
        if match is None:
            return len(source)
        depth += 1 if match[0] == "/*" else -1
        position = match.end()
    return position


def without_tests(words):
    """Without the items behind `#[cfg(test)]` and `#[test]`."""
    result, position = [], 0
    while position < len(words):
        if words[position : position + 2] == ["#", "["]:
            end = closing(words, position + 1)
            if only_in_tests(words[position + 2 : end - 1]):
                position = end_of_item(words, end)
                continue
            result += words[position:end]
            position = end
        else:
            result.append(words[position])
            position += 1
    return result


def only_in_tests(attribute):
    return attribute in (["test"], ["cfg", "(", "test", ")"]) or (
        attribute[:4] == ["cfg", "(", "all", "("] and "test" in attribute and "not" not in attribute
    )


def closing(words, position):
    """Behind the bracket that closes the one at this place."""
    depth = 0
    while position < len(words):
        if words[position] in "([{":
            depth += 1
        elif words[position] in ")]}":
            depth -= 1
        position += 1
        if depth == 0:
            break
    return position


def end_of_item(words, position):
    """Behind the item that starts here: its further attributes, then all up to its body or its semicolon."""
    while position < len(words):
        if words[position] == ";":
            return position + 1
        if words[position] == "{":
            return closing(words, position)
        position = closing(words, position) if words[position] in ("(", "[") else position + 1
    return position


def count(words):
    counted = collections.Counter()
    for position, word in enumerate(words):
        if word != "unsafe":
            continue
        following = words[position + 1] if position + 1 < len(words) else ""
        if following == "{":
            counted["blocks"] += 1
        elif following == "impl":
            counted["impls"] += 1
        elif following in ("trait", "auto"):
            counted["traits"] += 1
        elif following == "fn" or following == "extern":
            # `unsafe fn(…)` without a name is a type of pointers, and `unsafe extern { … }` declares and does nothing.
            rest = words[position + 1 : position + 4]
            named = rest[rest.index("fn") + 1 :][:1] if "fn" in rest else []
            counted["functions"] += bool(named) and named != ["("]
    return counted


def forbids(words):
    return re.search(r"# ! \[ (cfg_attr \( [^\]]*)?forbid \( [^)]*\bunsafe_code\b", " ".join(words)) is not None
