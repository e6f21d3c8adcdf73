"""pyarrow: its S3 file system, and Parquet and datasets on it."""

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs
from steps import (
    ACCESS_KEY_ID,
    CA_FILE,
    CANARY,
    ENDPOINT,
    PREFIX,
    REGION,
    SECRET_ACCESS_KEY,
    equal,
    step,
    stored,
    text,
)

MIB = 1 << 20
BUCKET = PREFIX + "files"
TABLES = PREFIX + "tables"
ROWS = 200_000
scheme, authority = ENDPOINT.split("://")
s3 = fs.S3FileSystem(
    access_key=ACCESS_KEY_ID,
    secret_key=SECRET_ACCESS_KEY,
    region=REGION,
    scheme=scheme,
    endpoint_override=authority,
    allow_bucket_creation=True,
    **({"tls_ca_file_path": CA_FILE} if CA_FILE else {}),
)
small, large = text("small", 70_000), text("large", 25 * MIB)

with step("create_dir of buckets"):
    s3.create_dir(BUCKET)
    s3.create_dir(TABLES)
with step("open_output_stream, small, with metadata"):
    metadata = {"Content-Type": "text/plain", "note": CANARY}
    with s3.open_output_stream(f"{BUCKET}/a b+ü/small", metadata=metadata) as file:
        file.write(small)
    stored(BUCKET, "a b+ü/small", small)
with step("open_output_stream in parts"):
    with s3.open_output_stream(f"{BUCKET}/large") as file:
        for start in range(0, len(large), MIB):
            file.write(large[start : start + MIB])
    stored(BUCKET, "large", large)
with step("open_input_stream"):
    with s3.open_input_stream(f"{BUCKET}/large") as file:
        equal(file.read(), large, "the body")
with step("open_input_file reads anywhere"):
    with s3.open_input_file(f"{BUCKET}/large") as file:
        equal(file.size(), len(large), "the size")
        for at, length in ((0, 10), (65_530, 20), (10 * MIB - 3, 6), (len(large) - 10, 100)):
            file.seek(at)
            equal(file.read(length), large[at : at + length], f"{length} bytes at {at}")
        equal(file.read_at(50, 1_000_000), large[1_000_000:1_000_050], "read_at")
with step("get_file_info shows plaintext sizes"):
    found = s3.get_file_info(fs.FileSelector(BUCKET, recursive=True))
    sizes = {entry.path.split("/", 1)[1]: entry.size for entry in found if entry.type == fs.FileType.File}
    equal(sizes, {"a b+ü/small": 70_000, "large": len(large)}, "the listing")
    equal(s3.get_file_info(f"{BUCKET}/a b+ü").type, fs.FileType.Directory, "the type of a prefix")
    equal(s3.get_file_info(f"{BUCKET}/none").type, fs.FileType.NotFound, "the type of what is not there")
with step("copy_file, move and delete_file"):
    s3.copy_file(f"{BUCKET}/a b+ü/small", f"{BUCKET}/copied")
    s3.move(f"{BUCKET}/copied", f"{BUCKET}/moved")
    stored(BUCKET, "moved", small)
    s3.copy_file(f"{BUCKET}/moved", f"{BUCKET}/again")
    s3.delete_file(f"{BUCKET}/again")
table = pa.table(
    {
        "number": pa.array(range(ROWS), pa.int64()),
        "group": pa.array([index % 4 for index in range(ROWS)], pa.int32()),
        "words": pa.array([f"{CANARY} {index}" for index in range(ROWS)]),
    }
)
with step("a Parquet file, written and read"):
    settings = {"compression": "none", "use_dictionary": False, "row_group_size": 20_000}
    pq.write_table(table, f"{TABLES}/one.parquet", filesystem=s3, **settings)
    equal(pq.read_table(f"{TABLES}/one.parquet", filesystem=s3).equals(table), True, "the same table")
with step("one row group and one column of it"):
    with s3.open_input_file(f"{TABLES}/one.parquet") as source:
        file = pq.ParquetFile(source)
        equal(file.num_row_groups, 10, "the number of row groups")
        equal(file.read_row_group(7, columns=["number"])["number"][0].as_py(), 140_000, "the first number")
with step("a partitioned dataset, written, and read with a filter"):
    ds.write_dataset(
        table,
        f"{TABLES}/set",
        filesystem=s3,
        format="parquet",
        partitioning=ds.partitioning(pa.schema([("group", pa.int32())]), flavor="hive"),
    )
    dataset = ds.dataset(f"{TABLES}/set", filesystem=s3, format="parquet", partitioning="hive")
    equal(len(dataset.files), 4, "the number of files")
    found = dataset.to_table(filter=(ds.field("group") == 3) & (ds.field("number") < 1000), columns=["number"])
    equal(sorted(found["number"].to_pylist()), list(range(3, 1000, 4)), "the numbers")
    equal(dataset.count_rows(), ROWS, "the number of rows")
with step("delete_dir"):
    s3.copy_file(f"{BUCKET}/moved", f"{BUCKET}/dir/x/1")
    s3.delete_dir(f"{BUCKET}/dir/x")
    # It keeps the parent of what it removes.
    stored(BUCKET, "dir/", b"")
    equal(s3.get_file_info(f"{BUCKET}/dir/x/1").type, fs.FileType.NotFound, "the type of what was removed")
