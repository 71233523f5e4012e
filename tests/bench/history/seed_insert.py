"""What the Python CLI `wm` does with a batch: psycopg2's execute_values, in one transaction.

Reads a batch per line, as JSON (a list of url, timestamp, status, milliseconds), inserts it and prints the seconds.
"""

import json
import sys
import time

import psycopg2
from psycopg2.extras import execute_values

connection = psycopg2.connect(sys.argv[1])
for line in sys.stdin:
    rows = json.loads(line)
    start = time.perf_counter()
    with connection, connection.cursor() as cursor:
        execute_values(
            cursor,
            "insert into seed (url, timestamp, http_status_code, response_time_ms) values %s",
            rows,
        )
    print(time.perf_counter() - start, flush=True)
