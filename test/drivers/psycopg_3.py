# psycopg_3.py CONNINFO TOPIC: everything that psycopg 3 sends, in all its ways

import sys

import psycopg
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.json import Json, Jsonb

from matrix import CASES, check, expect, fails

conninfo, topic = sys.argv[1:]
conn = psycopg.connect(conninfo, autocommit=True)

document = {"b": 1, "a": "\\ é"}
cases = CASES + [
    ("json", Json(document), b'{"b": 1, "a": "\\\\ \\u00e9"}'),
    ("jsonb", Jsonb(document), '{"a": "\\\\ é", "b": 1}'.encode()),
]


def produce(key, value, place="%s", prepare=False):
    return conn.execute(f"SELECT produce('{topic}', {place}, {place})", (key, value), prepare=prepare).fetchone()[0]


def first(query, *args):
    return conn.execute(query, args).fetchone()[0]


# Each as key and as value, beside others, sent as text and binary, prepared or not;
# often enough for the server to take a generic plan.
for label, given, stored in cases:
    for place, prepare in (("%s", False), ("%s", True), ("%b", True), ("%t", True)):
        for _ in range(7 if prepare else 1):
            for key, value, key_stored, value_stored in (
                (given, "x", stored, b"x"),
                ("x", given, b"x", stored),
                (given, given, stored, stored)):
                expect(produce(key, value, place, prepare), key_stored, value_stored, f"{label} {place} {prepare}")
    for other, other_stored in ((None, None), (42, b"42"), (b"\x00", b"\x00"), (2**40, b"1099511627776")):
        expect(produce(given, other), stored, other_stored, f"{label} beside {other}")
        expect(produce(other, given), other_stored, stored, f"{label} behind {other}")
expect(produce(("a", 1), ("b", None)), b"(a,1)", b"(b,)", "tuples")
check(first("SELECT sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE 'SELECT produce(%%'") > 0,
      "generic plans were used")
try:
    produce({"a": 1}, "x")
except psycopg.ProgrammingError as e:
    check("cannot adapt" in str(e), "a dict has to be wrapped", e)

# in a transaction the offset is not known; savepoints
with conn.transaction():
    for i in range(7):
        check(produce("k", i, prepare=True) is None, "no offset in a transaction")
        expect(None, b"k", b"%d" % i, "in a transaction")
        try:
            with conn.transaction():
                produce("lost", i, prepare=True)
                raise psycopg.Rollback
        except psycopg.Rollback:
            pass
try:
    with conn.transaction():
        produce("lost", 1)
        raise KeyError
except KeyError:
    pass
conn.autocommit = False
check(produce("k", "manual") is None, "no offset without autocommit")
conn.commit()
expect(None, b"k", b"manual", "without autocommit")
produce("lost", 2)
conn.rollback()
conn.autocommit = True

# pipelines
with conn.pipeline():
    cursors = [conn.execute(f"SELECT produce('{topic}', %s, %s)", ("k", i)) for i in range(10)]
offsets = [cursor.fetchone()[0] for cursor in cursors]
for i, offset in enumerate(offsets):
    expect(offset, b"k", b"%d" % i, "in a pipeline")
check(offsets[0] is not None and set(offsets[1:]) == {None}, "the first statement of a pipeline tells its offset", offsets)


def broken_pipeline():
    with conn.pipeline():
        for i in range(3):
            conn.execute(f"SELECT produce('{topic}', 'lost', %s)", (i,))
        conn.execute("SELECT produce('missing', 'lost', 'lost')")
        for i in range(3):
            conn.execute(f"SELECT produce('{topic}', 'lost', %s)", (i,))


fails("SL007", "an error in a pipeline", broken_pipeline)
expect(produce("k", "after"), b"k", b"after", "after a broken pipeline")
with conn.pipeline() as pipeline:
    for i in range(3):
        conn.execute(f"SELECT produce('{topic}', 'k', %s)", (i,))
        pipeline.sync()
        expect(None, b"k", b"%d" % i, "in a pipeline with syncs")

conn.cursor().executemany(f"SELECT produce('{topic}', %s, %s)", [("many", b"%d\x00" % i) for i in range(20)])
for i in range(20):
    expect(None, b"many", b"%d\x00" % i, "executemany")

# batches
values = [None, "", "\\ 'é", "{}"]
offsets = conn.execute(
    "SELECT record_offset FROM produce_batch(%s, %s, %s)", (topic, ["k", None, "", "ź"], values)).fetchall()
for (offset,), key, value in zip(offsets, (b"k", None, b"", "ź".encode()), values):
    expect(offset, key, None if value is None else value.encode(), "batch")
values = [None, b"", b"\x00\xff"]
offsets = conn.execute(
    "SELECT record_offset FROM produce_batch_bytes(%s, %s, %s)", (topic, values, values), prepare=True).fetchall()
for (offset,), value in zip(offsets, values):
    expect(offset, value, value, "batch of bytes")
offsets = conn.execute("SELECT record_offset FROM produce_batch(%s, NULL, %s)", (topic, ["1", "2"])).fetchall()
for (offset,), value in zip(offsets, (b"1", b"2")):
    expect(offset, None, value, "batch without keys")

# COPY and INSERT, as text and as bytes
text = "\u017c \\ \\u0041 \t\n'\""
for value in (text, None, ""):
    stored = None if value is None else value.encode()
    with conn.cursor().copy(f"COPY topic_text.{topic} (key, value) FROM STDIN") as copy:
        for _ in range(3):
            copy.write_row((value, value))
            expect(None, stored, stored, "COPY of text")
    for _ in range(7):
        conn.execute(f"INSERT INTO topic_text.{topic} (key, value) VALUES (%s, %s)", (value, value), prepare=True)
        expect(None, stored, stored, "INSERT of text")
for value in (b"\x00\xff\\", None, b""):
    for options, set_types in ((" (FORMAT binary)", True), ("", False)):
        with conn.cursor().copy(f"COPY topic.{topic} (key, value) FROM STDIN{options}") as copy:
            if set_types:
                copy.set_types(("bytea", "bytea"))
            copy.write_row((value, value))
        expect(None, value, value, f"COPY of bytes{options}")
    for _ in range(7):
        conn.execute(f"INSERT INTO topic.{topic} (key, value) VALUES (%b, %b)", (value, value), prepare=True)
        expect(None, value, value, "INSERT of bytes")
conn.cursor().executemany(f"INSERT INTO topic_text.{topic} (key, value) VALUES (%s, %s)", [("i", str(i)) for i in range(20)])
for i in range(20):
    expect(None, b"i", b"%d" % i, "INSERT by executemany")
try:
    with conn.cursor().copy(f"COPY topic_text.{topic} (key, value) FROM STDIN") as copy:
        copy.write_row(("lost", "lost"))
        raise KeyError
except (KeyError, psycopg.errors.QueryCanceled):
    pass

# all arguments, and headers in both directions
register_composite(CompositeInfo.fetch(conn, "header"), conn)
(offset,) = conn.execute(
    "SELECT produce(topic => %s, key => %s, value => %s, headers => headers(%s), partition => %s, record_time => %s)",
    (topic, "k", "v", Jsonb([{"a": "é"}, {"a": None}, {"b": 7}]), 0, "2020-01-02 03:04:05.678901+00")).fetchone()
expect(offset, b"k", b"v", "all arguments")
for binary in False, True:
    with conn.cursor(binary=binary) as cursor:
        record = cursor.execute(
            "SELECT record_offset, extract(epoch FROM timestamp)::text, partition, key, value, headers, topic"
            " FROM fetch_records(%s, 0, %s, max_wait => %s)", (topic, offset, "1s")).fetchone()
        check(record[:5] == (offset, "1577934245.678901", 0, b"k", b"v") and record[6] == topic,
              "a record as it is fetched", record)
        check([tuple(h) for h in record[5]] == [("a", "é".encode()), ("a", None), ("b", b"7")], "its headers", record[5])

# other ways to read
rows = conn.execute("SELECT count(*) FROM fetch_records(%s, 0, 0, 1000000, 1000000000)", (topic,)).fetchone()[0]
with conn.transaction():
    with conn.cursor(name="read") as cursor:
        cursor.itersize = 1000
        cursor.execute("SELECT record_offset FROM fetch_records(%s, 0, 0, 1000000, 1000000000)", (topic,))
        offsets = [offset for (offset,) in cursor]
check(len(offsets) == rows and offsets == sorted(offsets), "a cursor of the server", len(offsets))
with conn.cursor().copy(
        f"COPY (SELECT record_offset, as_text(value) FROM fetch_records('{topic}', 0, {offset})) TO STDOUT") as copy:
    check(list(copy.rows()) == [(str(offset), "v")], "COPY of a fetch")

# errors have their codes, and the session goes on
for sqlstate, call in (
    ("SL007", lambda: conn.execute("SELECT produce('missing', 'k', 'v')")),
    ("SL007", lambda: conn.execute("SELECT produce(%s, 'k', 'v', partition => 1)", (topic,))),
    ("SL002", lambda: produce("lost", b"x" * 2000000)),
    ("SL003", lambda: conn.execute("SELECT produce(%s, 'k', 'v', record_time => '1969-01-01')", (topic,))),
    ("SL001", lambda: conn.execute("SELECT * FROM fetch_records(%s, 0, %s)", (topic, 2**40))),
    ("22021", lambda: conn.execute("SELECT as_text(%s)", (b"\xff",))),
    ("22P02", lambda: conn.execute("SELECT as_json(%s)", (b"{",))),
):
    fails(sqlstate, f"{sqlstate} outside of a transaction", call)
    expect(produce("k", sqlstate), b"k", sqlstate.encode(), f"after {sqlstate}")
    conn.autocommit = False
    produce("lost", sqlstate)
    fails(sqlstate, f"{sqlstate} in a transaction", call)
    fails("25P02", f"the transaction has failed with {sqlstate}", lambda: produce("lost", "x"))
    conn.rollback()
    conn.autocommit = True
    expect(produce("k", sqlstate), b"k", sqlstate.encode(), f"after {sqlstate} and a rollback")
