# listen_psycopg.py CONNINFO TOPIC RECORDS SECONDS: a consumer that waits for
# notifications, with psycopg 2.  It ends when it has read so many records, and looks
# by itself if it has heard nothing for so many seconds, for which 30 is a good choice.
#
# It prints "look" for each look by itself, and partition, offset and value of each
# record.  t/090_drivers.pl compares.

import select
import sys

import psycopg2

conninfo, topic, wanted, seconds = sys.argv[1:]
conn = psycopg2.connect(conninfo)
conn.autocommit = True
cursor = conn.cursor()

# Before the first records are fetched: what comes after that is told.
cursor.execute(f'LISTEN "streamlog_{topic}"')
cursor.execute("SELECT partition, start_offset FROM partitions WHERE topic = %s", (topic,))
positions = dict(cursor.fetchall())


def drain():
    count = 0
    for partition in positions:
        while True:
            cursor.execute("SELECT record_offset, value FROM fetch_records(%s, %s, %s)",
                           (topic, partition, positions[partition]))
            records = cursor.fetchall()
            if not records:
                break
            for offset, value in records:
                print(partition, offset, bytes(value).decode(), flush=True)
                positions[partition] = offset + 1
            count += len(records)
    return count


seen = drain()
while seen < int(wanted):
    # some may have come with the answers to queries
    if not conn.notifies:
        if select.select([conn], [], [], float(seconds)) == ([], [], []):
            print("look", flush=True)
        conn.poll()
    conn.notifies.clear()
    seen += drain()
