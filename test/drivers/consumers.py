# consumers.py: what the consumers of both Python drivers share.
#
# The topic has the records that t/093_driver_consumers.pl has produced: 30, in three
# partitions.  Each way to consume has a group of its own, and must be handed each
# record once, in the order of its partition, with its key and value.

from matrix import check

RECORDS = 30
EXPECTED = {(i % 3, i // 3): (b"k%d" % i, b"\x00\xff\\%d" % i) for i in range(RECORDS)}
CALL = "SELECT partition, record_offset, key, value FROM {}(%s, %s, max_records => %s)"


def complete(label, rows):
    places = [(row[0], row[1]) for row in rows]
    check(len(places) == RECORDS and set(places) == set(EXPECTED), f"{label}: each record once", places)
    check(all(offsets == sorted(offsets) for offsets in
              [[offset for partition, offset in places if partition == p] for p in range(3)]),
          f"{label}: in the order of its partition", places)
    check(all((bytes(row[2]), bytes(row[3])) == EXPECTED[row[0], row[1]] for row in rows),
          f"{label}: as it was produced")


def next_offsets(rows):
    """What commit_offsets() takes: the partitions, and one more than the last offset of each"""
    ends = {}
    for partition, offset, *_ in rows:
        ends[partition] = offset + 1
    return list(ends.keys()), list(ends.values())
