"""chDB: s3() over the objects of a prefix, to one Snappy Parquet file."""

import json
import sys

import chdb

job = json.loads(sys.argv[1])
TYPES = {
    "string": "Nullable(String)",
    "bigint": "Nullable(Int64)",
    "double": "Nullable(Float64)",
    "boolean": "Nullable(Bool)",
    "timestamp": "Nullable(DateTime64(3))",
}


def clickhouse_type(hive):
    if hive.startswith("struct<"):
        fields = [field.split(":") for field in hive[len("struct<") : -1].split(",")]
        return f"Tuple({', '.join(f'{name} {TYPES[kind]}' for name, kind in fields)})"
    return TYPES[hive]


structure = ", ".join(f"{name} {clickhouse_type(hive)}" for name, hive in job["columns"].items())
source = f"{job['endpoint']}/{job['bucket']}/{job['prefix']}*.json"
chdb.query(
    f"""
    INSERT INTO FUNCTION file('{job['out']}', 'Parquet')
    SELECT * FROM s3('{source}', '{job['accessKeyId']}', '{job['secretAccessKey']}', 'JSONEachRow', '{structure}')
    SETTINGS max_threads = 16, max_insert_threads = 1, use_hive_partitioning = 0,
      output_format_parquet_compression_method = 'snappy', date_time_input_format = 'best_effort'
    """
)
