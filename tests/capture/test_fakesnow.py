"""The real Snowflake connector on fakesnow's server: real statements, real session state, results from DuckDB.

fakesnow pins a version of sqlglot of its own, so it lives in an environment of its own: ``make test-snowflake``.
"""

from __future__ import annotations

import pytest

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.sql.script import lineage

fakesnow = pytest.importorskip("fakesnow")
connector = pytest.importorskip("snowflake.connector")

# Warnings of the server, which runs in this process, are its own affair.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def server():
    with fakesnow.server() as options:
        yield options


@pytest.fixture
def connection(server, host):
    """A connection to a database of its own, inside the run ``r``, with a table of orders in it."""
    drivers.install()
    own = {"session_parameters": {**server["session_parameters"], "FAKESNOW_DB_PATH": ":isolated:"}}
    names = {"database": "shop", "schema": "raw"}
    with host.running("r"), connector.connect(**{**server, **own, **names}) as opened:
        opened.cursor().execute("CREATE TABLE orders (id int, price int)")
        opened.cursor().execute("INSERT INTO orders VALUES (1, 10), (2, 20)")
        recorder.take("r")
        yield opened


def tables() -> tuple[set[str], set[str]]:
    found = lineage(recorder.peek("r").statements)
    assert () == found.failures
    return {each.name for each in found.inputs}, {each.name for each in found.outputs}


def test_a_table_made_of_another_is_lineage_with_columns(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE totals AS SELECT sum(price) AS total FROM orders")
    cursor.execute("SELECT total FROM totals")
    assert [(30,)] == cursor.fetchall()
    assert ({"SHOP.RAW.ORDERS"}, {"SHOP.RAW.TOTALS"}) == tables()
    statement = recorder.peek("r").statements[0]
    assert "snowflake://fakesnow" == statement.namespace
    assert statement.query_id


def test_names_follow_use(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE SCHEMA marts")
    cursor.execute("USE SCHEMA marts")
    cursor.execute("CREATE TABLE copies AS SELECT id FROM raw.orders")
    assert ({"SHOP.RAW.ORDERS"}, {"SHOP.MARTS.COPIES"}) == tables()


def test_a_statement_that_failed_read_nothing(connection):
    with pytest.raises(connector.errors.ProgrammingError):
        connection.cursor().execute("SELECT * FROM nowhere")
    assert (set(), set()) == tables()


def test_many_rows_several_statements_and_dictionaries_are_recorded(connection):
    cursor = connection.cursor(connector.DictCursor)
    cursor.executemany("INSERT INTO orders VALUES (%s, %s)", [(3, 30), (4, 40)])
    connection.execute_string("CREATE TABLE one AS SELECT 1 AS id; INSERT INTO one SELECT id FROM orders")
    assert {"ID": 4} == cursor.execute("SELECT max(id) AS id FROM one").fetchone()
    assert (set(), {"SHOP.RAW.ORDERS", "SHOP.RAW.ONE"}) == tables()
    assert "INSERT INTO orders VALUES (%s, %s)" == recorder.peek("r").statements[0].sql


def test_what_was_left_running_counts_when_its_result_is_got(connection):
    cursor = connection.cursor()
    cursor.execute_async("SELECT id FROM orders")
    assert () == recorder.peek("r").statements
    cursor.get_results_from_sfqid(cursor.sfqid)
    assert 2 == len(cursor.fetchall())
    assert ["SELECT id FROM orders"] == [each.sql for each in recorder.peek("r").statements]


def test_a_data_frame_that_is_fetched_is_a_table_that_is_read(connection):
    pytest.importorskip("pandas")
    frame = connection.cursor().execute("SELECT id FROM orders").fetch_pandas_all()
    assert [1, 2] == list(frame["ID"])
    assert ({"SHOP.RAW.ORDERS"}, set()) == tables()
