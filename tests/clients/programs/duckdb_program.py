"""DuckDB with httpfs: Parquet written to and read from S3 by ranges."""

import pathlib

import duckdb
import duckdb_extension_httpfs
from steps import ACCESS_KEY_ID, CA_FILE, CANARY, ENDPOINT, PREFIX, REGION, SECRET_ACCESS_KEY, equal, step

BUCKET = PREFIX + "tables"
ROWS = 400_000
scheme, authority = ENDPOINT.split("://")


def connect():
    connection = duckdb.connect()
    # The package of PyPI holds the extension as DuckDB signed it; `INSTALL httpfs` would fetch the same.
    (extension,) = pathlib.Path(duckdb_extension_httpfs.__file__).parent.rglob("httpfs.duckdb_extension")
    connection.load_extension(str(extension))
    if CA_FILE:
        connection.execute(f"SET ca_cert_file = '{CA_FILE}'")
        connection.execute("SET enable_server_cert_verification = true")
    connection.execute(
        f"""CREATE SECRET (
            TYPE s3, KEY_ID '{ACCESS_KEY_ID}', SECRET '{SECRET_ACCESS_KEY}', REGION '{REGION}',
            ENDPOINT '{authority}', URL_STYLE 'path', USE_SSL {str(scheme == 'https').lower()}
        )"""
    )
    return connection


def one(query):
    return connection.execute(query).fetchall()


with step("load httpfs"):
    connection = connect()
table = f"SELECT i AS number, i % 5 AS part, '{CANARY} ' || i AS words FROM range({ROWS}) AS t(i)"
single = f"s3://{BUCKET}/single.parquet"
with step("COPY TO a Parquet file in parts"):
    connection.execute(f"COPY ({table}) TO '{single}' (FORMAT parquet, COMPRESSION uncompressed, ROW_GROUP_SIZE 20000)")
with step("count and sum"):
    equal(one(f"SELECT count(*), sum(number) FROM '{single}'"), [(ROWS, ROWS * (ROWS - 1) // 2)], "count and sum")
with step("a predicate reads ranges alone"):
    query = f"SELECT words FROM '{single}' WHERE number = 123456"
    # A connection that has read nothing yet, and so has no metadata of the file.
    connection = connect()
    connection.execute("CALL enable_logging('HTTP')")
    equal(one(query), [(f"{CANARY} 123456",)], "the row")
    # The names of headers are as the server wrote them.
    lengths = "coalesce(response.headers['Content-Length'], response.headers['content-length'])"
    answers = one(f"SELECT request.type, response.status, {lengths} FROM duckdb_logs_parsed('HTTP')")
    connection.execute("CALL disable_logging()")
    ranges = [int(length) for method, status, length in answers if method == "GET" and "Partial" in str(status)]
    whole = next(int(length) for method, _, length in answers if method == "HEAD")
    assert ranges, f"no range was read: {answers}"
    assert sum(ranges) < whole / 4, f"{sum(ranges)} of {whole} bytes were read"
with step("COPY TO partitioned files, and a glob over them"):
    settings = "FORMAT parquet, PARTITION_BY (part), COMPRESSION uncompressed"
    connection.execute(f"COPY ({table}) TO 's3://{BUCKET}/set' ({settings})")
    equal(one(f"SELECT count(*) FROM 's3://{BUCKET}/set/*/*.parquet'"), [(ROWS,)], "the number of rows")
    files = f"read_parquet('s3://{BUCKET}/set/**/*.parquet', hive_partitioning = true)"
    query = f"SELECT count(*), min(number) FROM {files}"
    equal(one(f"{query} WHERE part = 3"), [(ROWS // 5, 3)], "rows and the least number of one partition")
with step("glob lists the files"):
    equal(len(one(f"SELECT file FROM glob('s3://{BUCKET}/set/*/*.parquet')")), 5, "the number of files")
with step("CSV, compressed, and JSON"):
    for name, settings in (("t.csv.gz", "FORMAT csv, COMPRESSION gzip"), ("t.json", "FORMAT json")):
        connection.execute(f"COPY (SELECT * FROM ({table}) LIMIT 1000) TO 's3://{BUCKET}/{name}' ({settings})")
        equal(one(f"SELECT count(*) FROM 's3://{BUCKET}/{name}'"), [(1000,)], name)
with step("a join of two files"):
    query = f"SELECT count(*) FROM '{single}' a JOIN 's3://{BUCKET}/t.json' b USING (number)"
    equal(one(query), [(1000,)], "the number of rows")
