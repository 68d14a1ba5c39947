"""Reads Parquet files with pyarrow. A path a line on standard input; a line of JSON with the rows, or the error, a file."""

import datetime
import decimal
import json
import math
import sys

import pyarrow as pa
import pyarrow.parquet as pq

EPOCH = datetime.datetime(1970, 1, 1)


def cell(value, type_):
    if value is None:
        return None
    if pa.types.is_list(type_):
        return [cell(item, type_.value_type) for item in value]
    if pa.types.is_map(type_):
        return {key: cell(item, type_.item_type) for key, item in value}
    if pa.types.is_struct(type_):
        return {field.name: cell(value[field.name], field.type) for field in type_}
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, datetime.datetime):
        ms, rest = divmod((value.replace(tzinfo=None) - EPOCH) // datetime.timedelta(microseconds=1), 1000)
        if rest:
            raise ValueError(f"a timestamp is finer than milliseconds: {value}")
        return f"{value.year:04d}-{value.month:02d}-{value.day:02d}T{value:%H:%M:%S}.{ms % 1000:03d}Z"
    if isinstance(value, datetime.date):
        return f"{value.year:04d}-{value.month:02d}-{value.day:02d}"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)
    return value


def read(path):
    # ParquetFile, and not read_table, which would take the partition keys from the path.
    table = pq.ParquetFile(path).read()
    return [
        {field.name: cell(record[field.name], field.type) for field in table.schema} for record in table.to_pylist()
    ]


for line in sys.stdin:
    try:
        answer = {"rows": read(json.loads(line))}
    except Exception as error:  # The one that asked must hear of it, whatever it is.
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
