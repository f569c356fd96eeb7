"""IO managers as their users have them, on a real DuckDB file: what they store and load is the asset's own step's lineage."""

from __future__ import annotations

import duckdb
import pytest
from dagster import (
    AssetIn,
    AssetKey,
    AssetSpec,
    ConfigurableIOManager,
    Definitions,
    TableColumn,
    TableSchema,
    asset,
    define_asset_job,
    in_process_executor,
)
from openlineage.client.serde import Serde

pandas = pytest.importorskip("pandas")


class FrameIOManager(ConfigurableIOManager):
    """Stores frames as Dagster's own IO manager for DuckDB does, nearly the same statements, and the same metadata.

    That one wants the pandas before this one's, so it has the same tests where it is installed.
    """

    database: str

    def handle_output(self, context, obj):
        schema, table = context.asset_key.path[-2:]
        with duckdb.connect(self.database) as connection:
            connection.execute(f"create schema if not exists {schema}")
            if connection.execute(f"from duckdb_tables() where table_name = '{table}'").fetchall():
                connection.execute(f"delete from {schema}.{table}")
                connection.execute(f"insert into {schema}.{table} select * from obj")
            else:
                connection.execute(f"create table {schema}.{table} as select * from obj")
        context.add_output_metadata(
            {
                "dagster/row_count": len(obj),
                "dagster/table_name": f"{self.database}.{schema}.{table}",
                "dagster/storage_kind": "duckdb",
                "dataframe_columns": TableSchema(
                    columns=[TableColumn(name, str(kind)) for name, kind in obj.dtypes.items()]
                ),
                "Query": f"SELECT * FROM {schema}.{table}",
            }
        )

    def load_input(self, context):
        schema, table = context.asset_key.path[-2:]
        with duckdb.connect(self.database) as connection:
            return connection.execute(f"select * from {schema}.{table}").fetch_df()


@asset(key_prefix=["public"])
def raw() -> pandas.DataFrame:
    return pandas.DataFrame({"id": [1, 2], "amount": [10, 20]})


@asset(key_prefix=["public"], ins={"raw": AssetIn(key=AssetKey(["public", "raw"]))})
def orders(raw: pandas.DataFrame) -> pandas.DataFrame:
    return raw.assign(total=raw.amount * 2)


def dagsters_own(file):
    """Where it is installed: in the environment of ``make test-snowflake``."""
    return pytest.importorskip("dagster_duckdb_pandas").DuckDBPandasIOManager(database=file)


def as_it_does(file):
    return FrameIOManager(database=file)


@pytest.fixture(params=[dagsters_own, as_it_does])
def code(request, tmp_path):
    """The code location, and the file that its IO manager keeps the tables in."""
    file = str(tmp_path / "shop.duckdb")

    def define(*more):
        job = define_asset_job("nightly", [raw, orders], executor_def=in_process_executor)
        manager = request.param(file)
        return Definitions(assets=[raw, orders, *more], jobs=[job], resources={"io_manager": manager})

    return define, file


def identities(datasets):
    return [(each["namespace"], each["name"]) for each in datasets]


def columns(dataset):
    return [(field["name"], field["type"]) for field in dataset["facets"]["schema"]["fields"]]


def test_what_an_io_manager_stores_and_loads(instance, tick, backend, code):
    """Table, columns in the types of the database, and rows, on the step of the asset; once, whatever the metadata says.

    The second run writes into the table that is there; nothing becomes another dataset by that.
    """
    define, file = code
    tick(define())
    for _ in range(2):
        assert define().resolve_job_def("nightly").execute_in_process(instance=instance).success
    tick(define())

    ends = [
        event
        for event in map(Serde.to_dict, backend.events)
        if event.get("eventType") == "COMPLETE" and event["job"]["name"] != "nightly"
    ]
    namespace = f"duckdb://{file}"
    assert [
        ("nightly.public__raw", [], [(namespace, "shop.public.raw")]),
        ("nightly.public__orders", [(namespace, "shop.public.raw")], [(namespace, "shop.public.orders")]),
    ] * 2 == [
        (event["job"]["name"], identities(event["inputs"]), identities(event["outputs"])) for event in ends
    ]
    types = [("id", "BIGINT"), ("amount", "BIGINT")]
    for event in ends:
        [output] = event["outputs"]
        assert types == columns(output)[:2]
        assert 2 == output["outputFacets"]["outputStatistics"]["rowCount"]
        for read in event["inputs"]:
            assert types == columns(read)
    assert "from public.raw" in ends[1]["job"]["facets"]["sql"]["query"].lower()


def test_the_graph_has_the_names_that_the_io_manager_gave(instance, tick, backend, code):
    """Nothing is named before it was stored; code that is loaded afterwards is about the tables that are there."""
    define, _ = code
    first = define()
    tick(first)
    assert {"nightly", "nightly.public__raw", "nightly.public__orders"} == told(backend)
    assert first.resolve_job_def("nightly").execute_in_process(instance=instance).success
    tick(first)
    ran = told(backend)

    tick.restart()
    tick(define(AssetSpec("report", deps=[orders])))

    assert {"shop.public.raw", "shop.public.orders"} == ran - {
        "nightly",
        "nightly.public__raw",
        "nightly.public__orders",
    }
    assert ran | {"report"} == told(backend)


def told(backend):
    """Names of all the jobs and datasets of the events that came meanwhile."""
    events = [Serde.to_dict(event) for event in backend.events]
    backend.events.clear()
    found = set()
    for event in events:
        each = [event.get("job"), event.get("dataset"), *event.get("inputs", []), *event.get("outputs", [])]
        found.update(named["name"] for named in each if named)
    return found
