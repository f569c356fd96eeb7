"""What real tasks and flows read and write, and to which run it belongs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

LAKE = "s3://lake"

W = "duckdb://{warehouse}|warehouse.main"

# A run per line: job, its end, inputs, outputs; W is the DuckDB file of the test. Written by hand.
GOLDEN = [
    ("sql.extract", "COMPLETE", (), (f"{W}.raw",)),
    ("sql.transform", "COMPLETE", (f"{W}.raw",), (f"{W}.orders",)),
    # The statement that failed read and wrote nothing; the one before it did.
    ("sql.fails_half_way", "FAIL", (f"{W}.orders",), (f"{W}.half",)),
    # The flow's own statement; nothing of its tasks'.
    ("sql", "COMPLETE", (f"{W}.orders",), ()),
    ("explicit.copies", "COMPLETE", (f"{LAKE}|in/a",), (f"{LAKE}|out/a",)),
    ("explicit.copies", "COMPLETE", (f"{LAKE}|in/b",), (f"{LAKE}|out/b",)),
    ("explicit.copies", "COMPLETE", (f"{LAKE}|in/c",), (f"{LAKE}|out/c",)),
    ("explicit.nests", "COMPLETE", (f"{LAKE}|outer/c",), (f"{LAKE}|outer/c/done",)),
    ("inner", "COMPLETE", (), (f"{LAKE}|inner",)),
    ("explicit.calls_inner", "COMPLETE", (f"{LAKE}|after inner",), ()),
    ("explicit.second_time", "COMPLETE", (f"{LAKE}|attempt/1", f"{LAKE}|attempt/2"), ()),
    ("explicit", "COMPLETE", (), (f"{LAKE}|the flow's own",)),
    ("async explicit.copies_async", "COMPLETE", (f"{LAKE}|in/d",), (f"{LAKE}|out/d",)),
    ("async explicit.copies_async", "COMPLETE", (f"{LAKE}|in/e",), (f"{LAKE}|out/e",)),
    ("async explicit", "COMPLETE", (), ()),
    ("pool.copies_elsewhere", "COMPLETE", (), (f"{LAKE}|pool/f",)),
    ("pool.copies_elsewhere", "COMPLETE", (), (f"{LAKE}|pool/g",)),
    ("pool", "COMPLETE", (), ()),
    ("assets.stage", "COMPLETE", (f"{LAKE}|landing.csv",), (f"{LAKE}|staged.parquet",)),
    (
        "assets.publish",
        "COMPLETE",
        (f"{LAKE}|staged.parquet",),
        ("postgres://db.acme.io:5432|shop.public.orders",),
    ),
    ("assets.reads_an_asset", "COMPLETE", ("file|/srv/report.xlsx",), ()),
    # The second call is answered from the cache: it read and wrote nothing.
    ("assets.once", "COMPLETE", (), (f"{LAKE}|once",)),
    ("assets.once", "COMPLETE", (), ()),
    ("assets.fails_to_materialize", "FAIL", (), ()),
    ("assets", "COMPLETE", (), ()),
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory) -> str:
    """Path of the DuckDB file."""
    return str(tmp_path_factory.mktemp("data") / "warehouse.duckdb")


@pytest.fixture(scope="module")
def outcome(run_script, warehouse, can):
    """One process that runs all scenarios."""
    if not (can("assets") and can("process pools")):
        pytest.skip("this Prefect lacks some of what the script does")
    return run_script("datasets.py", warehouse)


def _names(datasets: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted(f"{dataset['namespace']}|{dataset['name']}" for dataset in datasets))


def _at(warehouse: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.replace("{warehouse}", warehouse) for name in names)


def _end(outcome, job: str) -> dict[str, Any]:
    ends = (event for event in outcome.events if event["job"]["name"] == job)
    return next(event for event in ends if event["eventType"] in {"COMPLETE", "FAIL"})


def test_inputs_and_outputs_belong_to_the_run_that_had_them(outcome, warehouse) -> None:
    """SQL, explicit datasets and assets; threads, asyncio, nested tasks, subflows, a process pool, retries, the cache."""
    expected = Counter(
        (job, end, _at(warehouse, reads), _at(warehouse, writes)) for job, end, reads, writes in GOLDEN
    )
    actual = Counter(
        (event["job"]["name"], event["eventType"], _names(event["inputs"]), _names(event["outputs"]))
        for event in outcome.events
        if event["eventType"] in {"COMPLETE", "FAIL"}
    )

    assert outcome.returncode == 0
    assert expected == actual


def test_only_the_end_of_a_run_has_datasets(outcome) -> None:
    """START and RUNNING come before anything was read."""
    early = [event for event in outcome.events if event["eventType"] not in {"COMPLETE", "FAIL"}]

    assert not [event for event in early if event["inputs"] or event["outputs"]]


def test_the_sql_of_a_task_is_its_jobs(outcome) -> None:
    """The statements a task ran are the ``sql`` facet of the task's job, with columns traced."""
    transform = _end(outcome, "sql.transform")
    lineage = transform["outputs"][0]["facets"]["columnLineage"]["fields"]

    assert transform["job"]["facets"]["sql"]["query"] == "CREATE TABLE orders AS SELECT id, amount FROM raw"
    assert {"id", "amount"} == set(lineage)


def test_an_asset_brings_what_prefect_knows_about_it(outcome) -> None:
    """Properties and metadata of a materialized asset are facets of the dataset."""
    (orders,) = _end(outcome, "assets.publish")["outputs"]
    facets = orders["facets"]

    assert facets["documentation"]["description"] == "Every order."
    assert [owner["name"] for owner in facets["ownership"]["owners"]] == ["ann"]
    assert facets["prefect_asset"]["key"] == "postgres://db.acme.io/shop/public/orders"
    assert facets["prefect_asset"]["metadata"] == {"row_count": "3", "bytes": "120"}
    assert tuple(orders["outputFacets"]["outputStatistics"][key] for key in ("rowCount", "size")) == (3, 120)


def test_the_tool_that_materialized_is_named(outcome) -> None:
    """``@materialize(by=…)`` is part of the task run's facet."""
    facet = _end(outcome, "assets.publish")["run"]["facets"]["prefect_taskRun"]

    assert facet["materializedBy"] == "dbt"


def test_tasks_in_a_process_pool_are_children_of_the_flow(outcome) -> None:
    """Events from the pool's processes arrive, with the flow run of the parent process as parent and root."""
    flow_run = _end(outcome, "pool")["run"]["runId"]
    elsewhere = [event for event in outcome.events if event["job"]["name"] == "pool.copies_elsewhere"]
    families = {
        (parent["run"]["runId"], parent["root"]["run"]["runId"])
        for event in elsewhere
        for parent in [event["run"]["facets"]["parent"]]
    }

    assert [event["eventType"] for event in elsewhere] == ["START", "COMPLETE"] * 2
    assert families == {(flow_run, flow_run)}


def test_the_collector_says_nothing_when_all_is_well(outcome) -> None:
    """No line of ours on the console."""
    assert "| openlineage_bridge" not in outcome.stdout + outcome.stderr
