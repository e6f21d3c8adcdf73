"""A CycloneDX bill of materials of the gateway: what was compiled into it, and what was run to compile it."""

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import uuid

from . import crates

# Fixed for ever: the serial number of a bill is made from it and what the bill says.
NAMESPACE = uuid.UUID("6d7a4cf4-6f5d-4f0e-9d0b-0f6f6c3f3a52")

PACKAGE = ("--package", "sealgate")


def write(repository, output):
    content = bill(repository)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
        print(f"{output}: {len(content['components'])} components", file=sys.stderr)
    return 0


def bill(repository):
    target = host()
    everything = crates.tree(repository, *PACKAGE, "--edges", "normal,build", "--target", target)
    linked = crates.tree(repository, *PACKAGE, "--edges", "normal,no-proc-macro", "--target", target)
    locked, manifests = crates.locked(repository), crates.manifests(repository)
    components = [
        component(crate, locked[crate.key], manifests[crate.key], crate.key in linked.crates, everything.features[crate.key])
        for crate in sorted(everything.crates.values())
        if crate != everything.root
    ]
    result = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": timestamp(repository),
            "tools": {"components": [{"type": "application", "name": "tools/supply-chain", "version": everything.root.version}]},
            "component": {
                "type": "application",
                "bom-ref": reference(everything.root.key),
                "name": everything.root.name,
                "version": everything.root.version,
                "licenses": [{"expression": expression(everything.root.licence)}],
            },
            "properties": [
                {"name": "sealgate:commit", "value": said_by(repository, "git", "rev-parse", "HEAD")},
                {"name": "sealgate:rustc", "value": said_by(repository, "rustc", "--version")},
                {"name": "sealgate:target", "value": target},
                {"name": "sealgate:features", "value": ",".join(sorted(everything.features[everything.root.key]))},
            ],
        },
        "components": components,
        "dependencies": [
            {"ref": reference(key), "dependsOn": sorted(map(reference, everything.edges[key]))}
            for key in sorted(everything.edges)
        ],
    }
    # The same inputs make the same bytes, so that two builders can compare their bills as they compare their binaries.
    return result | {"serialNumber": uuid.uuid5(NAMESPACE, json.dumps(result, sort_keys=True)).urn}


def component(crate, locked, manifest, linked, features):
    result = {
        "type": "library",
        "bom-ref": reference(crate.key),
        "name": crate.name,
        "version": crate.version,
        # CycloneDX's word for what is needed to build only: macros, build scripts and what they use.
        "scope": "required" if linked else "excluded",
        "licenses": [{"expression": expression(crate.licence)}],
    }
    if not crate.ours:
        # Ours are in no registry; with a purl of one, scanners would take somebody else's crate of that name for them.
        result["purl"] = f"pkg:cargo/{crate.name}@{crate.version}"
        result["hashes"] = [{"alg": "SHA-256", "content": locked["checksum"]}]
    if manifest.get("repository"):
        result["externalReferences"] = [{"type": "vcs", "url": manifest["repository"]}]
    if features:
        result["properties"] = [{"name": "cargo:features", "value": ",".join(sorted(features))}]
    if crate.name == "aws-lc-sys":
        result["components"] = [aws_lc(pathlib.Path(manifest["manifest_path"]).parent)]
    return result


def aws_lc(source):
    """The C library inside of aws-lc-sys, by whose version advisories name it."""
    header = (source / "aws-lc/include/openssl/base.h").read_text(encoding="utf-8")
    match = re.search(r'^#define AWSLC_VERSION_NUMBER_STRING "([^"]+)"', header, re.MULTILINE)
    if match is None:
        raise crates.CargoFailed("aws-lc-sys does not say any more which version of AWS-LC it has")
    return {
        "type": "library",
        "bom-ref": f"aws-lc@{match[1]}",
        "name": "aws-lc",
        "version": match[1],
        "purl": f"pkg:github/aws/aws-lc@v{match[1]}",
    }


def reference(key):
    return f"{key[0]}@{key[1]}"


def expression(licence):
    """Older crates write a slash where SPDX has OR."""
    return re.sub(r"\s*/\s*", " OR ", licence)


def host():
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return re.search(r"^host: (.+)$", version, re.MULTILINE)[1]


def timestamp(repository):
    """Of the commit, unless SOURCE_DATE_EPOCH says otherwise: when it was written down says nothing of what is in it."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or said_by(repository, "git", "log", "-1", "--format=%ct")
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def said_by(repository, *command):
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout.strip()
