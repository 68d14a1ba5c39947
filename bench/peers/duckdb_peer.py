"""DuckDB and httpfs: read_json over the objects of a prefix, COPY to one Snappy Parquet file; or one query."""

import glob
import json
import os
import sys

import duckdb
import duckdb_extension_httpfs

job = json.loads(sys.argv[1])
TYPES = {"string": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP"}


def duckdb_type(hive):
    if hive.startswith("struct<"):
        fields = [field.split(":") for field in hive[len("struct<") : -1].split(",")]
        return f"STRUCT({', '.join(f'{name} {TYPES[kind]}' for name, kind in fields)})"
    return TYPES[hive]


extensions = os.path.join(os.path.dirname(duckdb_extension_httpfs.__file__), "extensions")
(httpfs,) = glob.glob(os.path.join(extensions, "*", "httpfs.duckdb_extension"))
db = duckdb.connect(config={"allow_unsigned_extensions": "true", "threads": str(job.get("threads", 16))})
db.execute(f"LOAD '{httpfs}'")
endpoint = job["endpoint"].removeprefix("http://")
db.execute(
    f"""CREATE SECRET (TYPE s3, KEY_ID '{job['accessKeyId']}', SECRET '{job['secretAccessKey']}',
    REGION 'us-east-1', ENDPOINT '{endpoint}', USE_SSL false, URL_STYLE 'path')"""
)
columns = ", ".join(f"{name}: '{duckdb_type(hive)}'" for name, hive in job["columns"].items())
raw = f"""read_json('s3://{job['bucket']}/{job['prefix']}*.json', format = 'newline_delimited',
    columns = {{{columns}}}, hive_partitioning = false)"""
if "query" in job:
    source = raw if job["source"] == "raw" else f"read_parquet('{job['source']}', hive_partitioning = false)"
    rows = db.execute(job["query"].format(source=source)).fetchall()
    print(json.dumps({"rows": len(rows)}))
else:
    db.execute(f"COPY (SELECT * FROM {raw}) TO '{job['out']}' (FORMAT parquet, COMPRESSION snappy)")
