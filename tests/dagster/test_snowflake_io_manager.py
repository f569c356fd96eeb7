"""Dagster's own IO manager for Snowflake, unchanged, on fakesnow's server: what it stores and loads is the step's lineage.

fakesnow pins a version of sqlglot of its own, so this lives in an environment of its own: ``make test-snowflake``.
"""

from __future__ import annotations

import pytest
from dagster import AssetIn, AssetKey, Definitions, asset, define_asset_job, in_process_executor
from openlineage.client.serde import Serde

fakesnow = pytest.importorskip("fakesnow")
pandas = pytest.importorskip("pandas")
connector = pytest.importorskip("snowflake.connector")
type_handler = pytest.importorskip("dagster_snowflake_pandas.snowflake_pandas_type_handler")

# Warnings of the server, which runs in this process, are its own affair.
pytestmark = pytest.mark.filterwarnings("default")

serve = fakesnow.server  # once it was called, a module of that name stands in its place

ACCOUNT = "snowflake://fakesnow"
RAW, ORDERS = (ACCOUNT, "SHOP.STORE.RAW"), (ACCOUNT, "SHOP.STORE.ORDERS")


@asset(key_prefix=["store"])
def raw() -> pandas.DataFrame:
    return pandas.DataFrame({"id": [1, 2], "amount": [10, 20]})


@asset(key_prefix=["store"], ins={"raw": AssetIn(key=AssetKey(["store", "raw"]))})
def orders(raw: pandas.DataFrame) -> pandas.DataFrame:
    return raw.assign(amount=raw.amount * 2)


@pytest.fixture
def warehouse(monkeypatch):
    """Where the tables are, as settings of a connection.

    Two things go beyond fakesnow: its words for a table that is not there are not Snowflake's, which the IO manager waits
    for, so the tables are; and ``write_pandas`` copies from a stage, which its server cannot, so rows are inserted.
    """

    def write(conn, df, table_name, database, schema, **_settings):
        rows = [tuple(map(int, row)) for row in df.itertuples(index=False)]
        conn.cursor().executemany(f"INSERT INTO {database}.{schema}.{table_name} VALUES (%s, %s)", rows)

    monkeypatch.setattr(type_handler, "write_pandas", write)
    with serve() as settings:
        with connector.connect(**settings, database="SHOP", schema="STORE") as connection:
            for table in ("raw", "orders"):
                connection.cursor().execute(f"CREATE OR REPLACE TABLE {table} (id int, amount int)")
        yield settings


@pytest.fixture
def code(warehouse):
    """A code location whose assets are kept in Snowflake."""
    login = ("account", "user", "password")
    manager = type_handler.SnowflakePandasIOManager(
        database="SHOP",
        additional_snowflake_connection_args={
            name: value for name, value in warehouse.items() if name not in login
        },
        **{name: warehouse[name] for name in login},
    )
    job = define_asset_job("nightly", [raw, orders], executor_def=in_process_executor)
    return Definitions(assets=[raw, orders], jobs=[job], resources={"io_manager": manager})


def identities(datasets):
    return [(each["namespace"], each["name"]) for each in datasets]


def test_what_it_stores_and_loads(instance, tick, backend, code):
    """The tables of the account, once, with columns and rows: what DataHub's own IO manager for Snowflake is there to say."""
    tick.restart(namespaces={"snowflake": ACCOUNT})
    tick(code)
    assert code.resolve_job_def("nightly").execute_in_process(instance=instance).success
    tick(code)

    ends = {
        event["job"]["name"]: event
        for event in map(Serde.to_dict, backend.events)
        if event.get("eventType") == "COMPLETE" and event["job"]["name"] != "nightly"
    }
    assert {
        "nightly.store__raw": ([], [RAW]),
        "nightly.store__orders": ([RAW], [ORDERS]),
    } == {name: (identities(event["inputs"]), identities(event["outputs"])) for name, event in ends.items()}
    for event in ends.values():
        [output] = event["outputs"]
        assert ["id", "amount"] == [field["name"] for field in output["facets"]["schema"]["fields"]]
        assert 2 == output["outputFacets"]["outputStatistics"]["rowCount"]
    assert "SHOP.store.raw" in ends["nightly.store__orders"]["job"]["facets"]["sql"]["query"]


def test_without_the_account_the_tables_are_the_same_for_datahub(instance, tick, backend, code):
    """What the IO manager says has no account; its URN is that of the table in captured SQL, and of DataHub's connector."""
    tick(code)
    assert code.resolve_job_def("nightly").execute_in_process(instance=instance).success
    tick(code)

    written = {
        identity
        for event in map(Serde.to_dict, backend.events)
        if event.get("eventType") == "COMPLETE"
        for identity in identities(event["outputs"])
    }
    assert {RAW, ORDERS, ("snowflake", RAW[1]), ("snowflake", ORDERS[1])} == written
