# consume_psycopg_3.py CONNINFO TOPIC: consumers with psycopg 3, under both rules

import datetime
import sys

import psycopg

from consumers import CALL, RECORDS, complete, next_offsets
from matrix import check, fails

conninfo, topic = sys.argv[1:]
watch = psycopg.connect(conninfo, autocommit=True)


def committed(group):
    return int(watch.execute(
        "SELECT coalesce(sum(next_offset), 0) FROM consumer_groups g, committed_offsets(g.consumer_group)"
        " WHERE g.consumer_group = %s", (group,)).fetchone()[0])


def drain(batch):
    """All that a way to consume returns, until there is nothing more"""
    rows = []
    while more := batch():
        rows += more
    return rows


def deferred(label, conn, batch):
    """batch(conn, group) hands out 4 records, and the next one confirms them."""
    group = f"psycopg 3, deferred, {label}"
    first = batch(conn, group)
    check(committed(group) == 0, f"{group}: nothing is committed yet", committed(group))
    second = batch(conn, group)
    check(committed(group) == len(first) == 4, f"{group}: the next call commits", committed(group))
    conn.execute("SELECT leave(%s)", (group,))
    check(len(second) == 4, f"{group}: what is not confirmed", second)
    complete(f"{group}, comes again", first + drain(lambda: batch(conn, group)))
    check(committed(group) == RECORDS, f"{group}: all is committed", committed(group))


def with_transaction(label, conn, batch):
    """The same in a block, some of which are rolled back"""
    group = f"psycopg 3, block, {label}"
    rows = []
    rounds = 0
    while True:
        rounds += 1
        with conn.transaction():
            more = batch(conn, group)
            if rounds % 3 == 2:
                raise psycopg.Rollback  # the end of the block
            with conn.transaction():
                batch(conn, group)
                raise psycopg.Rollback
        if rounds % 3 == 2:
            continue
        if not more:
            break
        rows += more
        check(committed(group) == len(rows), f"{group}: committed with the transaction", committed(group))
    complete(group, rows)


def select(binary=None, prepare=None, function="consume"):
    def batch(conn, group):
        with conn.cursor(binary=bool(binary)) as cursor:
            return cursor.execute(CALL.format(function), (topic, group, 4), prepare=prepare).fetchall()
    return batch


def named(**options):
    def batch(conn, group):
        with conn.cursor(name="batch", **options) as cursor:
            cursor.itersize = 3
            return list(cursor.execute(CALL.format("consume"), (topic, group, 4)))
    return batch


def stream(conn, group):
    with conn.cursor() as cursor:
        return list(cursor.stream(CALL.format("consume"), (topic, group, 4)))


def copied(conn, group):
    with conn.cursor().copy(
            "COPY (SELECT partition, record_offset, key, value"
            f" FROM consume('{topic}', '{group}', max_records => 4)) TO STDOUT") as copy:
        copy.set_types(("int4", "int8", "bytea", "bytea"))
        return list(copy.rows())


def as_lists(conn, group):
    # a list of topics is sent without a type, one of small numbers as int2[]
    return conn.execute(
        "SELECT partition, record_offset, key, value FROM consume(%s, %s, partitions => %s, max_records => %s,"
        " max_wait => %s)", ([topic], group, [0, 1, 2], 4, datetime.timedelta(0))).fetchall()


conn = psycopg.connect(conninfo, autocommit=True)
ways = {f"{'binary' if binary else 'text'} {'prepared' if prepare else 'not prepared'}": select(binary, prepare)
        for binary in (False, True) for prepare in (False, True)}
ways |= {"stream": stream, "lists": as_lists}
for label, batch in (ways | {"a cursor with hold": named(withhold=True), "COPY": copied}).items():
    deferred(label, conn, batch)
for label, batch in (ways | {"a cursor": named(), "a scrollable cursor": named(scrollable=True)}).items():
    with_transaction(label, conn, batch)
check(watch.execute("SELECT 1").fetchone() == (1,), "the other connection lives on")

# prepared after some executions, which is the default
conn.prepare_threshold = 2
deferred("prepared later", conn, select())
check(conn.execute("SELECT max(generic_plans + custom_plans) FROM pg_prepared_statements"
                   " WHERE statement LIKE '%FROM consume(%'").fetchone()[0] > 3, "it was prepared")
with_transaction("prepared later", conn, select())

# without autocommit any statement begins a block
group = "psycopg 3, without autocommit"
manual = psycopg.connect(conninfo)
select()(manual, group)
manual.rollback()
rows = []
while more := select()(manual, group):
    check(committed(group) == len(rows), f"{group}: not before the commit", committed(group))
    manual.commit()
    rows += more
complete(group, rows)
manual.close()

# what waits for records takes a list, too
conn.execute("CALL wait_for_records(%s, max_wait => %s)", ([topic], datetime.timedelta(milliseconds=1)))
for sqlstate, bad in (("22P02", '{"a'), ("22023", "{}"), ("22004", "{NULL}")):
    fails(sqlstate, f"topics {bad}", lambda: conn.execute("SELECT * FROM consume(%s, 'bad')", (bad,)))

# a pipeline has no BEGIN of its own: it is deferred, and its calls do not confirm each other
group = "psycopg 3, pipeline"
with conn.pipeline():
    cursors = [conn.execute(CALL.format("consume"), (topic, group, 4)) for _ in range(2)]
    rows = [row for cursor in cursors for row in cursor.fetchall()]
check(len(rows) == 8 and committed(group) == 0, f"{group}: deferred", committed(group))
rows += drain(lambda: select()(conn, group))
complete(group, rows)
# with one, it is a block
group = "psycopg 3, block in a pipeline"
with conn.pipeline():
    with conn.transaction():
        cursor = conn.execute(CALL.format("consume"), (topic, group, 4))
    rows = cursor.fetchall()
check(committed(group) == len(rows) == 4, f"{group}: committed with it", committed(group))

# a connection that ends confirms nothing
group = "psycopg 3, ended"
for _ in range(2):
    with psycopg.connect(conninfo, autocommit=True) as lost:
        # the server may not have noticed yet that the other one has ended
        first = lost.execute("SELECT partition, record_offset"
                             " FROM consume(%s, %s, max_records => 4, max_wait => '10s')", (topic, group)).fetchall()
    check([row[1] for row in first] == list(range(4)), f"{group}: from the start", first)

# Who reads only some of a batch was handed all of it.
group = "psycopg 3, fetchone"
with conn.cursor() as cursor:
    cursor.execute(CALL.format("consume"), (topic, group, 4)).fetchone()
select()(conn, group)
check(committed(group) == 4, f"{group}: the next call commits the whole batch", committed(group))

# poll() and commit_offsets()
for binary in False, True:
    group = f"psycopg 3, poll {binary}"
    rows = []
    while more := select(binary, True, "poll")(conn, group):
        rows += more
        partitions, ends = next_offsets(more)
        with conn.cursor(binary=binary) as cursor:
            done = cursor.execute("SELECT * FROM commit_offsets(%s, %s, partitions => %s, next_offsets => %s)",
                                  (topic, group, partitions, ends), prepare=True).fetchall()
        check(sorted(done) == sorted((topic, *pair) for pair in zip(partitions, ends)), f"{group}: what it committed", done)
    complete(group, rows)
    conn.execute("SELECT * FROM commit_offsets(%s, %s, partitions => %s, next_offsets => %s)", (topic, group, [], []))
    fails("SL001", f"{group}: out of range", lambda: conn.execute(
        "SELECT * FROM commit_offsets(%s, %s, partitions => %s, next_offsets => %s)", (topic, group, [0], [2**40])))
    fails("SL009", f"{group}: no member", lambda: watch.execute(
        "SELECT * FROM commit_offsets(%s, %s, partitions => %s, next_offsets => %s)", (topic, group, [0], [1])))
