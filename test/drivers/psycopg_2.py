# psycopg_2.py CONNINFO TOPIC: everything that psycopg 2 sends, which writes all
# parameters into the statement

import io
import sys

import psycopg2
import psycopg2.extras
from psycopg2.extras import Json

from matrix import CASES, check, expect, fails

conninfo, topic = sys.argv[1:]
psycopg2.extras.register_uuid()
conn = psycopg2.connect(conninfo)
conn.autocommit = True
cursor = conn.cursor()

# it sends a list of bytes as an array of bytea, too, and dates as such
cases = CASES + [("json", Json({"b": 1, "a": "\\ é"}), b'{"b": 1, "a": "\\\\ \\u00e9"}')]


def produce(key, value):
    cursor.execute(f"SELECT produce('{topic}', %s, %s)", (key, value))
    return cursor.fetchone()[0]


for label, given, stored in cases:
    for other, other_stored in (("x", b"x"), (None, None), (42, b"42"), (b"\x00", b"\x00"), (given, stored)):
        expect(produce(given, other), stored, other_stored, f"{label} beside {other!r}")
        expect(produce(other, given), other_stored, stored, f"{label} behind {other!r}")

conn.autocommit = False
check(produce("k", "v") is None, "no offset in a transaction")
conn.commit()
expect(None, b"k", b"v", "in a transaction")
produce("lost", "v")
conn.rollback()
with conn:
    check(produce("k", "with") is None, "no offset in a with block")
expect(None, b"k", b"with", "in a with block")
conn.autocommit = True

cursor.execute("SELECT record_offset FROM produce_batch(%s, %s, %s)", (topic, ["a", None], ["\\ 'é", None]))
for (offset,), key, value in zip(cursor.fetchall(), (b"a", None), ("\\ 'é".encode(), None)):
    expect(offset, key, value, "batch")
cursor.execute("SELECT record_offset FROM produce_batch_bytes(%s, %s, %s)", (topic, [b"\x00", None], [b"\xff", b""]))
for (offset,), key, value in zip(cursor.fetchall(), (b"\x00", None), (b"\xff", b"")):
    expect(offset, key, value, "batch of bytes")

cursor.copy_expert(f"COPY topic_text.{topic} (key, value) FROM STDIN (FORMAT csv)", io.StringIO('k,"\\ é,\n"\n,""\n'))
expect(None, b"k", "\\ é,\n".encode(), "COPY")
expect(None, None, b"", "COPY")
psycopg2.extras.execute_values(
    cursor, f"INSERT INTO topic.{topic} (key, value) VALUES %s", [(b"\x00", b"\xff"), (None, b"")])
expect(None, b"\x00", b"\xff", "execute_values")
expect(None, None, b"", "execute_values")

cursor.execute("SELECT key, value FROM fetch_records(%s, 0, %s, max_wait => '1s')", (topic, offset - 1))
check(bytes(cursor.fetchone()[0]) == b"\x00", "bytes as they are fetched")
fails("SL007", "an unknown topic", lambda: cursor.execute("SELECT produce('missing', 'k', 'v')"))
fails("SL001", "an offset out of range", lambda: cursor.execute("SELECT * FROM fetch_records(%s, 0, %s)", (topic, 2**40)))
expect(produce("k", "after"), b"k", b"after", "after errors")
