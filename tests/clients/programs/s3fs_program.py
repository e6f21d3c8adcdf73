"""s3fs: files that are opened, trees that are walked, as pandas and dask use it."""

import pathlib

import s3fs
from steps import ACCESS_KEY_ID, CA_FILE, CANARY, ENDPOINT, PREFIX, SECRET_ACCESS_KEY, equal, gone, step, stored, text

MIB = 1 << 20
BUCKET = PREFIX + "files"
fs = s3fs.S3FileSystem(
    key=ACCESS_KEY_ID,
    secret=SECRET_ACCESS_KEY,
    endpoint_url=ENDPOINT,
    client_kwargs={"verify": CA_FILE} if CA_FILE else {},
)
small, large = text("small", 70_000), text("large", 12 * MIB + 9)

with step("mkdir"):
    fs.mkdir(BUCKET)
with step("open, write and close"):
    with fs.open(f"{BUCKET}/small", "wb", Metadata={"note": CANARY}) as file:
        file.write(small)
    stored(BUCKET, "small", small)
    equal(fs.metadata(f"{BUCKET}/small"), {"note": CANARY}, "the metadata")
with step("write in parts"):
    with fs.open(f"{BUCKET}/large", "wb", block_size=5 * MIB) as file:
        for start in range(0, len(large), 1_000_000):
            file.write(large[start : start + 1_000_000])
    stored(BUCKET, "large", large)
with step("read, seek and readline"):
    with fs.open(f"{BUCKET}/large", "rb", block_size=100_000) as file:
        equal(file.size, len(large), "the size")
        for at, length in ((0, 10), (65_530, 20), (5 * MIB - 3, 6), (len(large) - 10, 100)):
            file.seek(at)
            equal(file.read(length), large[at : at + length], f"{length} bytes at {at}")
        file.seek(0)
        equal(file.readline(), large.splitlines(keepends=True)[0], "the first line")
with step("text mode"):
    with fs.open(f"{BUCKET}/text", "w") as file:
        file.write(f"{CANARY} ü\n")
    stored(BUCKET, "text", f"{CANARY} ü\n".encode())
    with fs.open(f"{BUCKET}/text", "r") as file:
        equal(file.read(), f"{CANARY} ü\n", "the text")
with step("append to a small and to a large file"):
    for name, body in (("text", f"{CANARY} ü\n".encode()), ("large", large)):
        with fs.open(f"{BUCKET}/{name}", "ab") as file:
            file.write(small)
        stored(BUCKET, name, body + small)
        equal(fs.cat(f"{BUCKET}/{name}"), body + small, name)
with step("put and get of trees"):
    for name, size in {"one": 10, "deep/empty": 0, "deep/er/a b+ü%": 65_537}.items():
        path = pathlib.Path("tree", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text(name, size))
        stored(BUCKET, f"tree/{name}", text(name, size))
    fs.put("tree/", f"{BUCKET}/tree", recursive=True)
    fs.get(f"{BUCKET}/tree/", "back", recursive=True)
    for path in pathlib.Path("tree").rglob("*"):
        if path.is_file():
            equal(pathlib.Path("back", path.relative_to("tree")).read_bytes(), path.read_bytes(), str(path))
with step("walk, find, glob, du and info"):
    fs.invalidate_cache()
    walked = {f"{root}/{name}" for root, _, names in fs.walk(f"{BUCKET}/tree") for name in names}
    equal(walked, {f"{BUCKET}/tree/{name}" for name in ("one", "deep/empty", "deep/er/a b+ü%")}, "what was walked")
    sizes = {name: found["size"] for name, found in fs.find(f"{BUCKET}/tree", detail=True).items()}
    equal(sum(sizes.values()), 10 + 65_537, "the sizes of find")
    equal(fs.du(f"{BUCKET}/tree"), 10 + 65_537, "du")
    equal(fs.glob(f"{BUCKET}/*e*"), [f"{BUCKET}/{name}" for name in ("large", "text", "tree")], "glob")
    equal(fs.info(f"{BUCKET}/small")["size"], 70_000, "info")
with step("cat_ranges"):
    found = fs.cat_ranges([f"{BUCKET}/small"] * 2, [0, 69_990], [10, 70_000])
    equal(found, [small[:10], small[69_990:]], "the ranges")
with step("cp and mv"):
    fs.cp(f"{BUCKET}/small", f"{BUCKET}/copied")
    fs.mv(f"{BUCKET}/copied", f"{BUCKET}/moved")
    stored(BUCKET, "moved", small)
with step("exclusive creation"):
    with fs.open(f"{BUCKET}/once", "xb") as file:
        file.write(small)
    stored(BUCKET, "once", small)
    try:
        with fs.open(f"{BUCKET}/once", "xb") as file:
            file.write(b"again")
    except OSError:  # of 2026.9, for the 412 of any server
        pass
    else:
        raise AssertionError("a file was created twice")
with step("rm, alone and recursive"):
    fs.rm(f"{BUCKET}/moved")
    gone(BUCKET, "moved")
    fs.rm(f"{BUCKET}/tree/deep", recursive=True)
    for name in ("empty", "er/a b+ü%"):
        gone(BUCKET, f"tree/deep/{name}")
    equal(fs.exists(f"{BUCKET}/tree/deep"), False, "exists")
