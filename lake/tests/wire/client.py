"""Asks the lake as programs do: psycopg, simple and prepared, in text and in binary."""

import datetime
import decimal
import sys
import threading

import psycopg

host, port, password = sys.argv[1:]
where = dict(host=host, port=port, password=password, dbname="tollbook")
D = decimal.Decimal
CALL = "of-another-tenant"
START = datetime.datetime(2026, 10, 5, 9, 0, 17)
EXPECTED = (CALL, START, datetime.date(2026, 10, 5), D("0.109708"), True, 0, None)
COLUMNS = "call_id, start_at, day, customer_cost, answered, revision, refused_by"


def same(found, expected, what):
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


with psycopg.connect(user="ada", **where) as connection:
    for binary in (False, True):
        for prepare in (False, True):
            ask = lambda sql, values=None: connection.execute(sql, values, prepare=prepare, binary=binary)
            what = f"binary {binary}, prepared {prepare}"
            same(ask(f"SELECT {COLUMNS} FROM calls WHERE call_id = %s", [CALL]).fetchone(), EXPECTED, what)
            # Parameters of each kind, as psycopg sends them: numbers in binary, texts of a type not said.
            for condition, value in [
                ("start_at = %s", START),
                ("start_at >= %s AND call_id = 'of-another-tenant'", START - datetime.timedelta(days=1)),
                ("start_at = %s", datetime.datetime(2026, 10, 5, 9, 0, 17, tzinfo=datetime.timezone.utc)),
                ("day = %s AND call_id = 'of-another-tenant'", datetime.date(2026, 10, 5)),
                ("customer_cost = %s AND tenant = 2", D("0.109708")),
                ("customer_cost < %s AND tenant = 2", D("1000000000.5")),
                ("tenant = %s", 2),
                ("duration_seconds > %s AND tenant = 2", 131),
                ("answered = %s AND tenant = 2", True),
                ("call_id LIKE %s", "of-another%"),
            ]:
                found = ask(f"SELECT {COLUMNS} FROM calls WHERE {condition}", [value]).fetchall()
                same(found, [EXPECTED], f"{what}, {condition} {value!r}")
            for number in ["0", "1", "-1", "0.000001", "-0.000001", "12345.678901", "10000", "99999999.000000", "-20000.5"]:
                found = ask("SELECT %s::decimal(18,6)", [D(number)]).fetchone()[0]
                same(found, D(number), f"{what}, {number} there and back")
            same(ask("SELECT customer_cost FROM calls WHERE call_id = %s", [None]).fetchall(), [], what)
            same(ask("SELECT word_list('a b')").fetchone(), (["a", "b"],), what)
            same(ask("SELECT true, 1.5::double, NULL").fetchone(), (True, 1.5, None), what)
    # One statement many times, as a server prepares it after some.
    for n in range(12):
        same(connection.execute("SELECT %s + 1", [n]).fetchone(), (n + 1,), "many times")
    # Names of columns.
    cursor = connection.execute("SELECT count(*), max(day) AS last FROM calls")
    same([column.name for column in cursor.description], ["count", "last"], "names")
    # A mistake ends the transaction and not the connection.
    try:
        connection.execute("SELECT nothing FROM calls")
        raise SystemExit("a column that is not there was found")
    except psycopg.errors.UndefinedColumn as error:
        assert "there is no column" in str(error), error
    connection.rollback()
    try:
        connection.execute("SELECT count(*) FROM calls WHERE tenant = %s", ["two"])
        raise SystemExit("a word was taken for a number")
    except psycopg.DataError as error:
        assert "$1" in str(error), error
    connection.rollback()
    try:
        connection.execute("DELETE FROM calls")
        raise SystemExit("calls were deleted")
    except psycopg.errors.ReadOnlySqlTransaction:
        connection.rollback()
    # Cancelled from another thread.
    threading.Timer(1.0, connection.cancel).start()
    try:
        connection.execute(
            "SELECT count(*) FROM documentation a, documentation b, documentation c, documentation d"
            " WHERE a.meaning || b.meaning || c.meaning <> d.meaning"
        )
        raise SystemExit("it ran to its end")
    except psycopg.errors.QueryCanceled:
        connection.rollback()
    same(connection.execute("SELECT 1").fetchone(), (1,), "after it all")

# A cursor on the server, piece by piece, with parameters, in text and in binary.
with psycopg.connect(user="ada", **where) as connection:
    n_calls = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
    for binary in (False, True):
        with connection.cursor(name="many") as cursor:
            cursor.itersize = 2
            cursor.execute("SELECT call_id, payer, customer_cost FROM calls WHERE tenant >= %s", [0], binary=binary)
            same([column.name for column in cursor.description], ["call_id", "payer", "customer_cost"], "names")
            first = cursor.fetchmany(3)
            same(len(first), 3, "fetched")
            assert isinstance(first[0][1], int), first
            same(len(first) + len(list(cursor)), n_calls, "all of a cursor")
        connection.commit()
    # As a file.
    copied = b""
    with connection.cursor().copy("COPY (SELECT call_id FROM calls) TO STDOUT (FORMAT csv)") as copy:
        for block in copy:
            copied += bytes(block)
    same(len(copied.splitlines()), n_calls, "copied")
    with connection.cursor().copy("COPY (SELECT call_id, margin FROM calls) TO STDOUT") as copy:
        same(len(list(copy.rows())), n_calls, "copied as text")

# Whoever may not see numbers does not find one out by a parameter either.
with psycopg.connect(user="ann", **where) as connection:
    for prepare in (False, True):
        found = connection.execute(
            "SELECT count(*) FROM calls WHERE destination_number = %s", ["4930555001"], prepare=prepare
        ).fetchone()
        same(found, (0,), "a guessed number")

print("all as it should be")
