"""Polars: scan_ndjson over the objects of a prefix, to one Snappy Parquet file."""

import json
import sys

import polars as pl

job = json.loads(sys.argv[1])
TYPES = {"string": pl.String, "bigint": pl.Int64, "double": pl.Float64, "boolean": pl.Boolean, "timestamp": pl.Datetime("ms")}


def polars_type(hive):
    if hive.startswith("struct<"):
        fields = [field.split(":") for field in hive[len("struct<") : -1].split(",")]
        return pl.Struct({name: TYPES[kind] for name, kind in fields})
    return TYPES[hive]


pl.scan_ndjson(
    f"s3://{job['bucket']}/{job['prefix']}*.json",
    schema={name: polars_type(hive) for name, hive in job["columns"].items()},
    storage_options={
        "aws_endpoint_url": job["endpoint"],
        "aws_access_key_id": job["accessKeyId"],
        "aws_secret_access_key": job["secretAccessKey"],
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    },
).sink_parquet(job["out"], compression="snappy")
