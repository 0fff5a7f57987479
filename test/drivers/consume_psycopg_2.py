# consume_psycopg_2.py CONNINFO TOPIC: consumers with psycopg 2, under both rules

import datetime
import sys

import psycopg2

from consumers import CALL, RECORDS, complete, next_offsets
from matrix import check, fails

conninfo, topic = sys.argv[1:]
watch = psycopg2.connect(conninfo)
watch.autocommit = True


def committed(group):
    cursor = watch.cursor()
    cursor.execute(
        "SELECT coalesce(sum(next_offset), 0) FROM consumer_groups g, committed_offsets(g.consumer_group)"
        " WHERE g.consumer_group = %s", (group,))
    return int(cursor.fetchone()[0])


def select(conn, group, function="consume"):
    cursor = conn.cursor()
    cursor.execute(CALL.format(function), (topic, group, 4))
    return cursor.fetchall()


def named(**options):
    def batch(conn, group):
        with conn.cursor("batch", **options) as cursor:
            cursor.itersize = 3
            cursor.execute(CALL.format("consume"), (topic, group, 4))
            return list(cursor)
    return batch


def as_lists(conn, group):
    cursor = conn.cursor()
    cursor.execute(
        "SELECT partition, record_offset, key, value FROM consume(%s, %s, partitions => %s, max_records => %s,"
        " max_wait => %s)", ([topic], group, [0, 1, 2], 4, datetime.timedelta(0)))
    return cursor.fetchall()


conn = psycopg2.connect(conninfo)
conn.autocommit = True
for label, batch in {"select": select, "lists": as_lists, "a cursor with hold": named(withhold=True)}.items():
    group = f"psycopg 2, deferred, {label}"
    rows = []
    while more := batch(conn, group):
        check(committed(group) == len(rows), f"{group}: this call has committed what came before", committed(group))
        rows += more
    complete(group, rows)
    check(committed(group) == RECORDS, f"{group}: all is committed", committed(group))

# without autocommit any statement begins a block
conn.autocommit = False
for label, batch in {"select": select, "lists": as_lists, "a cursor": named(),
                     "a scrollable cursor": named(scrollable=True)}.items():
    group = f"psycopg 2, block, {label}"
    batch(conn, group)
    conn.rollback()
    rows = []
    while True:
        with conn:
            more = batch(conn, group)
        if not more:
            break
        rows += more
        check(committed(group) == len(rows), f"{group}: committed with the transaction", committed(group))
    complete(group, rows)
conn.autocommit = True

# poll() and commit_offsets()
group = "psycopg 2, poll"
rows = []
cursor = conn.cursor()
while more := select(conn, group, "poll"):
    rows += more
    partitions, ends = next_offsets(more)
    cursor.execute("SELECT * FROM commit_offsets(%s, %s, partitions => %s, next_offsets => %s)",
                   (topic, group, partitions, ends))
    done = cursor.fetchall()
    check(sorted(done) == sorted((topic, *pair) for pair in zip(partitions, ends)), f"{group}: what it committed", done)
complete(group, rows)
cursor.execute("SELECT * FROM commit_offsets(%s, %s, partitions => %s, next_offsets => %s)", (topic, group, [], []))
fails("SL009", f"{group}: no member", lambda: watch.cursor().execute(
    "SELECT * FROM commit_offsets(%s, %s, partitions => %s, next_offsets => %s)", (topic, group, [0], [1])))
