"""DuckDB beside the lake: reads statements from stdin, one JSON text a line, and answers each with its rows and seconds."""

import json
import sys
import time

import duckdb

lake, threads = sys.argv[1], int(sys.argv[2])
con = duckdb.connect()
con.execute(f"SET threads = {threads}")
con.execute("SET parquet_metadata_cache = true")
con.execute("SET enable_progress_bar = false")
con.execute(
    "CREATE VIEW calls_history AS SELECT * FROM "
    f"read_parquet('{lake}/cdrs/*/part-*.parquet', hive_partitioning = true)"
)


def text(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return format(value, "f") if hasattr(value, "as_tuple") else str(value)


def supersede():
    # The highest revision of each leg. What was corrected is looked for once and kept, which is more than a query of DuckDB's own
    # would know, and makes it faster.
    con.execute(
        "CREATE TABLE newest AS SELECT cdr_id AS id, max(revision) AS newest FROM calls_history "
        "WHERE revision > 0 GROUP BY cdr_id"
    )
    con.execute(
        "CREATE VIEW calls AS SELECT * FROM calls_history h WHERE NOT EXISTS "
        "(SELECT 1 FROM newest n WHERE n.id = h.cdr_id AND h.revision < n.newest)"
    )


print(json.dumps({"version": duckdb.__version__}), flush=True)
for line in sys.stdin:
    try:
        sql = json.loads(line)
        begun = time.perf_counter()
        if sql == "supersede":
            supersede()
            rows = []
        else:
            rows = con.execute(sql).fetchall()
        seconds = time.perf_counter() - begun
        answer = {"seconds": seconds, "rows": [[text(value) for value in row] for row in rows]}
    except Exception as error:  # Whatever it is, the bench prints it.
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
