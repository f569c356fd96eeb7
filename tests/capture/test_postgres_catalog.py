"""What a real PostgreSQL server is asked about tables, and that nobody notices."""

from __future__ import annotations

import pytest

from openlineage_bridge_capture import drivers, recorder
from openlineage_bridge_capture.describe import describe


def schemas() -> dict[str, list[tuple[str, str]]]:
    description = describe(recorder.take("r"))
    return {
        each.name: [(field.name, field.type) for field in each.facets["schema"].fields]
        for each in (*description.inputs, *description.outputs)
        if "schema" in each.facets
    }


ORDERS = [("id", "integer"), ("price", "integer")]
BOTH = {"postgres.public.orders": ORDERS, "postgres.public.copies": ORDERS}


def test_both_drivers_tell_the_columns_inside_and_outside_a_transaction(psycopg, psycopg2, shop):
    for autocommit in (True, False):
        for module in (psycopg, psycopg2):
            connection = module.connect(shop)
            connection.autocommit = autocommit
            connection.cursor().execute("CREATE TABLE copies AS SELECT * FROM orders")
            if not autocommit:
                connection.commit()
            connection.cursor().execute("SELECT 1 FROM copies")
            assert BOTH == schemas(), (module, autocommit)
            connection.cursor().execute("DROP TABLE copies")
            if not autocommit:
                connection.commit()
            connection.close()
            recorder.take("r")


def test_quoted_names_and_other_schemas_are_found(psycopg, shop):
    with psycopg.connect(shop) as connection:
        connection.execute('CREATE SCHEMA app; CREATE TABLE app."My Tab" ("Id" uuid, tags text[])')
        recorder.take("r")
        connection.execute('SELECT * FROM app."My Tab"')
    assert [("Id", "uuid"), ("tags", "text[]")] == schemas()["postgres.app.My Tab"]


def test_a_question_that_fails_does_not_harm_the_users_transaction(psycopg, psycopg2, shop, monkeypatch):
    monkeypatch.setattr(drivers.postgres, "_COLUMNS", "SELECT 1 / 0 -- {names} {rows}\n")
    for module in (psycopg, psycopg2):
        connection = module.connect(shop)
        cursor = connection.cursor()
        cursor.execute("DELETE FROM orders")
        cursor.execute("SELECT count(*) FROM orders")
        assert (0,) == cursor.fetchone()
        connection.rollback()
        cursor.execute("SELECT count(*) FROM orders")
        assert (1,) == cursor.fetchone()
        connection.close()


def test_an_answer_that_we_cannot_take_does_not_harm_the_users_transaction(
    psycopg, psycopg2, shop, monkeypatch
):
    """The savepoint is released by then: nothing may go back to it."""
    monkeypatch.setattr(drivers.postgres, "_COLUMNS", "SELECT 1 -- {names} {rows}\n")
    for module in (psycopg, psycopg2):
        connection = module.connect(shop)
        cursor = connection.cursor()
        cursor.execute("DELETE FROM orders")
        cursor.execute("SELECT count(*) FROM orders")
        assert (0,) == cursor.fetchone()
        connection.close()


def test_asking_opens_no_transaction_and_leaves_no_savepoint(psycopg, shop):
    with psycopg.connect(shop, autocommit=True) as connection:
        connection.execute("SELECT * FROM orders")
        assert psycopg.pq.TransactionStatus.IDLE == connection.info.transaction_status
        connection.autocommit = False
        connection.execute("SELECT id FROM orders")
        with pytest.raises(psycopg.errors.InvalidSavepointSpecification):
            connection.execute("RELEASE openlineage_bridge")
