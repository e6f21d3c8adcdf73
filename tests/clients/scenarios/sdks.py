"""SDKs of other languages: each has a program in a directory of its language, built once for each state of its sources."""

import hashlib
import pathlib
import shutil

from ..cache import run
from ..client import Client

SOURCES = pathlib.Path(__file__).resolve().parent.parent
NPM = "is the npm registry reachable? Node.js 20 or later comes with npm (https://nodejs.org)"
MAVEN = "is Maven Central reachable? It needs a JDK, 17 or later, and Maven (Debian, Ubuntu: apt-get install maven)"
JDK = "it needs a JDK, 17 or later (Debian, Ubuntu: apt-get install openjdk-17-jdk-headless)"
GO = "is the Go module proxy reachable? It needs Go 1.26 or later (https://go.dev/dl)"
CARGO = "is crates.io reachable? It needs Rust 1.95 or later (https://rustup.rs)"
# A program that runs for seconds gains nothing from a compiler that takes longer than that.
JVM = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]


def identity(*files, tool):
    """Sixteen hexadecimal digits that change with the files and with the tool that builds from them."""
    digest = hashlib.sha256(tool.encode())
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def version(fix, *command):
    """What a tool calls itself."""
    return run(command, fix)


# --- JavaScript ---


def install_javascript(cache):
    """The installed packages: a directory node_modules."""
    sources = SOURCES / "javascript"
    locks = [sources / "package.json", sources / "package-lock.json"]

    def make(directory):
        for file in locks:
            shutil.copy(file, directory)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], NPM, directory)

    name = f"client-javascript-{identity(*locks, tool=version(NPM, 'node', '--version'))}"
    return cache.once(name, make) / "node_modules"


def javascript(session):
    """Node.js looks for packages beside the program, so the program goes beside them."""
    program = session.directory / "program"
    shutil.copytree(SOURCES / "javascript", program, ignore=shutil.ignore_patterns("node_modules"))
    (program / "node_modules").symlink_to(session.tool)
    trust = {"NODE_EXTRA_CA_CERTS": str(session.endpoint.ca_file)} if session.endpoint.ca_file else {}
    session.run_program("node", "--no-warnings", program / "main.mjs", environment=trust)


# --- Java ---


def install_java(cache):
    """The class path."""
    sources, pom = sorted((SOURCES / "java" / "src").glob("*.java")), SOURCES / "java" / "pom.xml"

    def fetch(directory):
        # Maven writes to the directory of its project.
        shutil.copy(pom, directory)
        run(
            ["mvn", "--batch-mode", "--quiet", "dependency:copy-dependencies", "-DoutputDirectory=libraries"],
            MAVEN,
            directory,
        )

    libraries = cache.once(f"client-java-libraries-{identity(pom, tool='')}", fetch) / "libraries" / "*"

    def compile_all(directory):
        run(["javac", "--release", "17", "-Xlint:all,-path", "-d", directory, "-cp", libraries, *sources], JDK)

    name = f"client-java-{identity(pom, *sources, tool=version(JDK, 'javac', '-version'))}"
    return f"{cache.once(name, compile_all)}:{libraries}"


def java(session):
    """Java trusts what a key store holds."""
    trust = []
    if session.endpoint.ca_file:
        store = session.directory / "trust.p12"
        session.run(
            *["keytool", "-importcert", "-noprompt", "-alias", "authority", "-file", session.endpoint.ca_file],
            *["-keystore", store, "-storetype", "PKCS12", "-storepass", "changeit"],
        )
        trust = [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit"]
    session.run_program("java", *JVM, *trust, "-cp", session.tool, "Main")


# --- Go ---


def install_go(cache):
    """The program."""
    sources = SOURCES / "go"

    def make(directory):
        run(["go", "build", "-o", directory / "clients", "."], GO, sources, GOFLAGS="")

    files = [*sources.glob("*.go"), sources / "go.mod", sources / "go.sum"]
    return cache.once(f"client-go-{identity(*files, tool=version(GO, 'go', 'version'))}", make) / "clients"


# --- Rust ---


def install_rust(cache):
    """The program. What cargo compiled of others is kept when the program changes."""
    sources = SOURCES / "rust"
    target = cache.directory / "client-rust-target"

    def make(directory):
        run(
            ["cargo", "build", "--locked", "--manifest-path", sources / "Cargo.toml"],
            CARGO,
            CARGO_TARGET_DIR=str(target),
        )
        shutil.copy(target / "debug" / "sealgate-client-rust", directory)

    files = [*(sources / "src").glob("*.rs"), sources / "Cargo.toml", sources / "Cargo.lock"]
    name = f"client-rust-{identity(*files, tool=version(CARGO, 'rustc', '--version'))}"
    return cache.once(name, make) / "sealgate-client-rust"


def argument(name):
    """A scenario of a program that knows several clients."""
    return lambda session: session.run_program(session.tool, name)


CLIENTS = [
    Client("aws-sdk-for-javascript", "3.1169.0", install_javascript, javascript),
    Client("aws-sdk-for-java", "2.57.8", install_java, java),
    Client("aws-sdk-for-go", "1.47.7", install_go, argument("aws-sdk-go-v2")),
    Client("minio-go", "7.4.1", install_go, argument("minio-go")),
    Client("aws-sdk-for-rust", "1.157.0", install_rust, argument("aws-sdk-s3")),
    Client("object-store", "0.14.2", install_rust, argument("object_store")),
    Client("opendal", "0.59.5", install_rust, argument("opendal")),
]
