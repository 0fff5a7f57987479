# matrix.py: what the programs of both Python drivers share.
#
# A program prints "record", the offset if it was told, key and value in hex and a
# label for each record that it has produced, in the order of the log; "ok" or "not
# ok" and what for each other claim.  t/090_drivers.pl compares.

import datetime
import decimal
import sys
import uuid

utc = datetime.timezone.utc

# label, value, the bytes that have to arrive
CASES = [
    ("null", None, None),
    ("str", "str", b"str"),
    ("empty str", "", b""),
    ("special str", "żółć 🐘 \\ \\u0041 \\x41 '\"%s\t\n", "żółć 🐘 \\ \\u0041 \\x41 '\"%s\t\n".encode()),
    ("str that looks like bytes", "\\x00ff", b"\\x00ff"),
    ("str that looks like a number", "007", b"007"),
    ("bytes", b"\x00\xff\\'%s\x80", b"\x00\xff\\'%s\x80"),
    ("empty bytes", b"", b""),
    ("bytearray", bytearray(b"\x00a"), b"\x00a"),
    ("memoryview", memoryview(b"\x00a"), b"\x00a"),
    ("small int", 7, b"7"),
    ("int", -100000, b"-100000"),
    ("bigint", 2**40, b"1099511627776"),
    ("larger int", 2**70, b"1180591620717411303424"),
    ("decimal", decimal.Decimal("1.50"), b"1.50"),
    ("float", 2.5, b"2.5"),
    ("nan", float("nan"), b"NaN"),
    ("bool", True, b"t"),
    ("uuid", uuid.UUID(int=5), b"00000000-0000-0000-0000-000000000005"),
    ("date", datetime.date(2001, 2, 3), b"2001-02-03"),
    ("time", datetime.time(1, 2, 3), b"01:02:03"),
    ("datetime", datetime.datetime(2001, 2, 3, 4, 5, 6, 7), b"2001-02-03 04:05:06.000007"),
    ("datetime with zone", datetime.datetime(2001, 2, 3, 4, 5, 6, 7, utc), b"2001-02-03 04:05:06.000007+00"),
    ("timedelta", datetime.timedelta(hours=25), b"1 day 01:00:00"),
    ("list of int", [1, 2], b"{1,2}"),
    ("list of str", ["a", "b c", None], b'{a,"b c",NULL}'),
    ("list of bytes", [b"x"], b'{"\\\\x78"}'),
    ("empty list", [], b"{}"),
]


def expect(offset, key, value, label):
    def shown(data):
        return "-" if data is None else "x" + data.hex()
    print("record", "-" if offset is None else offset, shown(key), shown(value), label, sep="\t")


def check(condition, label, detail=""):
    print("ok" if condition else "not ok", label, detail, sep="\t")
    sys.stdout.flush()


def fails(sqlstate, label, call):
    """The call fails with this SQLSTATE."""
    try:
        call()
    except Exception as e:
        state = getattr(e, "sqlstate", None) or getattr(e, "pgcode", None)
        check(state == sqlstate, label, f"{state} {e!r}")
    else:
        check(False, label, "no error")
