"""The graph as the code declares it: in the store before anything has run, and the same jobs and datasets afterwards."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from dagster import (
    AssetCheckResult,
    AssetIn,
    AssetKey,
    AssetOut,
    AssetSpec,
    AutomationCondition,
    ConfigurableIOManager,
    Definitions,
    MaterializeResult,
    TableColumn,
    TableColumnDep,
    TableColumnLineage,
    TableSchema,
    asset,
    asset_check,
    define_asset_job,
    graph,
    graph_asset,
    graph_multi_asset,
    job,
    multi_asset,
    observable_source_asset,
    op,
)
from openlineage.client.event_v2 import JobEvent
from openlineage.client.serde import Serde

from openlineage_bridge.cli.lineage import command as lineage
from openlineage_bridge.cli.replay import command as replay
from openlineage_bridge_dagster import environment, repository

RAW = ["prod", "duckdb", "shop", "main", "raw"]


@asset(key=RAW, description="As it came.", owners=["team:data"], kinds={"duckdb"}, group_name="shop")
def raw(): ...


@asset(deps=[raw], metadata={"dagster/column_schema": TableSchema(columns=[TableColumn("id", "int")])})
def orders(): ...


@multi_asset(specs=[AssetSpec("daily", deps=[orders]), AssetSpec("monthly", deps=["daily"])])
def totals():
    yield MaterializeResult("daily")
    yield MaterializeResult("monthly")


@asset_check(asset=orders)
def complete():
    return AssetCheckResult(passed=True)


SHOP = Definitions(
    assets=[raw, orders, totals],
    asset_checks=[complete],
    jobs=[define_asset_job("nightly", "*", description="Every night.", tags={"tier": "1"})],
)


@pytest.fixture
def told(backend):
    """Takes the events that were delivered meanwhile, as JSON objects."""

    def take():
        events = [Serde.to_dict(event) for event in backend.events]
        backend.events.clear()
        return events

    return take


@pytest.fixture
def store(tmp_path):
    """Puts events into a real bridge's store, and asks it for the graph around a node."""

    class Store:
        path = str(tmp_path / "bridge.db")

        def put(self, events):
            file = tmp_path / "events.jsonl"
            file.write_text("".join(f"{json.dumps(event)}\n" for event in events))
            done = CliRunner().invoke(replay, [str(file), "--store", self.path])
            assert done.exit_code == 0, done.output

        def graph(self, node):
            done = CliRunner().invoke(lineage, [node, "--store", self.path, "--format", "json"])
            assert done.exit_code == 0, done.output
            found = json.loads(done.stdout)
            names = {each["id"]: each["name"] for each in found["nodes"]}
            urns = {each["name"]: each["urn"] for each in found["nodes"]}
            return {(names[source], names[target]) for source, target in found["edges"]}, urns

    return Store()


def declared(events):
    """Jobs with what they read and write."""
    return {
        event["job"]["name"]: (
            [each["name"] for each in event["inputs"]],
            [each["name"] for each in event["outputs"]],
        )
        for event in events
        if "job" in event and "run" not in event
    }


def datasets(events):
    return {event["dataset"]["name"]: event["dataset"]["facets"] for event in events if "dataset" in event}


EDGES = {
    ("nightly.prod__duckdb__shop__main__raw", "shop.main.raw"),
    ("shop.main.raw", "nightly.orders"),
    ("nightly.orders", "orders"),
    ("orders", "nightly.totals"),
    ("orders", "nightly.orders_complete"),
    ("nightly.totals", "daily"),
    ("daily", "nightly.totals"),
    ("nightly.totals", "monthly"),
}


def test_the_graph_is_there_before_the_first_run_and_the_same_after_it(instance, tick, told, store):
    """Definitions, through a tick, in the store of a bridge; the runs then add states, and no job or dataset."""
    tick(SHOP)
    store.put(told())
    before, urns_before = store.graph("orders")

    assert SHOP.resolve_job_def("nightly").execute_in_process(instance=instance).success
    tick(SHOP)
    ran = told()
    store.put(ran)
    after, urns_after = store.graph("orders")

    assert {"START", "COMPLETE"} == {event["eventType"] for event in ran}
    assert before == EDGES
    assert after == EDGES
    assert urns_before == urns_after


def test_what_is_told_of_jobs_and_assets(tick, told):
    """Facets of the definitions, down to the columns; a step says which job it is a part of."""
    tick(SHOP)
    events = told()
    jobs = {event["job"]["name"]: event["job"]["facets"] for event in events if "job" in event}
    found = datasets(events)

    assert jobs["nightly"]["documentation"]["description"] == "Every night."
    assert [(tag["key"], tag["value"]) for tag in jobs["nightly"]["tags"]["tags"]] == [("tier", "1")]
    assert jobs["nightly"]["jobType"]["jobType"] == "JOB"
    assert jobs["nightly.prod__duckdb__shop__main__raw"]["documentation"]["description"] == "As it came."
    assert jobs["nightly.orders"]["jobType"]["jobType"] == "STEP"
    assert jobs["nightly.orders"]["openlineageBridge_parent"]["job"] == {
        "namespace": "dagster",
        "name": "nightly",
    }
    assert found["shop.main.raw"]["ownership"]["owners"][0]["name"] == "team:data"
    assert found["shop.main.raw"]["dagster_asset"]["assetKey"] == RAW
    assert found["shop.main.raw"]["symlinks"]["identifiers"][0]["name"] == "/".join(RAW)
    assert [field["name"] for field in found["orders"]["schema"]["fields"]] == ["id"]


def test_it_is_told_once_until_the_code_changes(tick, told):
    """Not at the next tick, nor by the next process with the same code; again when the code says something else."""
    tick(SHOP)
    assert told()
    tick(SHOP)
    tick.restart()
    tick(SHOP)
    assert not told()

    tick.restart()
    tick(Definitions(assets=[raw, orders], jobs=[define_asset_job("nightly", "*")]))
    assert "nightly.orders" in declared(told())


def test_what_a_run_has_told_stays_as_long_as_the_code_reads_the_same(instance, tick, told):
    """A JobEvent would replace the run's lineage, columns and all; where the code reads something else, it does."""
    tick(SHOP)
    assert SHOP.resolve_job_def("nightly").execute_in_process(instance=instance).success
    tick(SHOP)
    told()

    @asset(deps=[raw], description="A new description changes no lineage.")
    def orders(): ...

    @asset(deps=["elsewhere"])
    def other(): ...

    changed = Definitions(
        assets=[raw, orders, totals, other], jobs=[define_asset_job("nightly", "*"), define_asset_job("new")]
    )
    tick.restart()
    tick(changed)
    found = declared(told())

    assert ([], []) == found["nightly.orders"]
    assert ([], []) == found["nightly.totals"]
    assert (["elsewhere"], ["other"]) == found["nightly.other"]
    assert (["shop.main.raw"], ["orders"]) == found["new.orders"]


def test_a_backend_that_is_away_gets_the_rest_later(backend, tick, told):
    """What was acknowledged is not told again, and nothing is left out."""
    everything = set()
    backend.answers = [None, None, ConnectionError("away")]
    assert "stopped by ConnectionError" in tick(SHOP)
    everything.update(map(json.dumps, told()))
    assert len(everything) == 2

    tick(SHOP)
    rest = list(map(json.dumps, told()))

    assert everything.isdisjoint(rest)
    assert len(everything) + len(rest) == 4 + 5


def test_an_event_that_the_backend_refuses_is_left_out(backend, tick, told):
    """An older backend may know no DatasetEvents; runs are observed all the same."""
    backend.answers = [TypeError("no such event")]

    said = tick(SHOP)

    assert "8 events delivered" in said
    assert "refused" in said
    assert len(told()) == 8
    tick(SHOP)
    assert not told()


def test_the_graph_is_told_in_a_part_of_the_turn(tick, told, monkeypatch):
    """However many events it takes: each turn goes on where the last one stopped."""
    monkeypatch.setattr("openlineage_bridge_dagster.sensor.BUDGET", 0.0)
    found = []
    for _ in range(12):
        tick(SHOP)
        found.append(declared_names(told()))
    names = [name for each in found for name in each]

    assert [] == found[-1]
    assert max(map(len, found)) == 1
    assert {"nightly", "nightly.orders", "orders", "monthly"} <= set(names)


def declared_names(events):
    return [event["job"]["name"] if "job" in event else event["dataset"]["name"] for event in events]


@pytest.mark.parametrize(
    ("variable", "argument", "expected"),
    [
        (None, None, True),
        ("off", None, False),
        ("OFF", True, True),
        ("on", None, True),
        (None, False, False),
        ("on", False, False),
    ],
)
def test_it_can_be_switched_off(tick, told, monkeypatch, variable, argument, expected):
    """By the environment, or by the sensor's argument, which has the last word."""
    if variable is not None:
        monkeypatch.setenv(environment.STATIC_LINEAGE_VARIABLE, variable)
    tick.restart(static_lineage=argument)
    tick(SHOP)

    assert expected is bool(told())


def test_who_picks_runs_picks_what_is_declared(tick, told):
    """A sensor for some of the runs does not declare the jobs of all the others, unless it is told to."""
    tick.restart(wanted=lambda record: record.dagster_run.job_name == "nightly")
    tick(SHOP)

    assert not told()


def test_a_switch_that_cannot_be_read_is_refused(monkeypatch):
    """And not taken for one of the two."""
    monkeypatch.setenv(environment.STATIC_LINEAGE_VARIABLE, "perhaps")

    with pytest.raises(ValueError, match="on or off"):
        environment.static_lineage()


def test_ops_graphs_and_assets_without_a_job(tick, told):
    """Assets in no job are the implicit one's, as are those that Dagster materializes of itself.

    Of a graph, the op behind its output writes the asset; op jobs have their steps.
    """

    @op(description="Makes one.")
    def one():
        return 1

    @op
    def plus(number):
        return number

    @graph_asset(ins={"number": AssetIn("raw_number")})
    def counted(number):
        return plus.alias("last")(plus(number))

    @graph
    def nested(number):
        return plus.alias("deep")(number)

    @graph_multi_asset(
        name="pair",
        ins={"number": AssetIn("raw_number")},
        outs={"left": AssetOut(key=["x", "left"]), "right": AssetOut(key=["x", "right"])},
    )
    def pair(number):
        return {"left": nested(number), "right": plus.alias("side")(number)}

    @job(description="Op by op.")
    def ops():
        plus(one())

    @asset
    def in_a_job(): ...

    @asset(automation_condition=AutomationCondition.eager(), deps=[in_a_job])
    def eager(): ...

    jobs = [ops, define_asset_job("both", [in_a_job, eager])]
    tick(Definitions(assets=[counted, pair, in_a_job, eager, AssetSpec("raw_number")], jobs=jobs))
    events = told()

    assert {
        "__ASSET_JOB": ([], []),
        "__ASSET_JOB.counted.last": (["raw_number"], ["counted"]),
        "__ASSET_JOB.counted.plus": ([], []),
        "__ASSET_JOB.pair.nested.deep": (["raw_number"], ["x/left"]),
        "__ASSET_JOB.pair.side": (["raw_number"], ["x/right"]),
        "__ASSET_JOB.eager": (["in_a_job"], ["eager"]),
        "both": ([], []),
        "both.eager": (["in_a_job"], ["eager"]),
        "both.in_a_job": ([], ["in_a_job"]),
        "ops": ([], []),
        "ops.one": ([], []),
        "ops.plus": ([], []),
    } == declared(events)
    descriptions = {
        event["job"]["name"]: event["job"]["facets"].get("documentation", {}).get("description")
        for event in events
        if "job" in event
    }
    assert descriptions["ops"] == "Op by op."
    assert descriptions["ops.one"] == "Makes one."


@pytest.mark.filterwarnings("ignore:.*in beta")
def test_assets_that_are_made_elsewhere(tick, told):
    """An external asset has a DatasetEvent with its own lineage; one that is only observed is read."""

    @observable_source_asset
    def watched(): ...

    report = AssetSpec(
        "report", deps=["watched"], description="Made by hand.", metadata={"dagster/uri": "s3://b/r"}
    )
    tick(Definitions(assets=[watched, report], jobs=[define_asset_job("look", [watched])]))
    events = told()
    found = datasets(events)

    assert {"look": ([], []), "look.watched": (["watched"], [])} == declared(events)
    assert found["r"]["documentation"]["description"] == "Made by hand."
    assert [("dagster", "watched")] == [
        (each["namespace"], each["name"]) for each in found["r"]["lineage"]["inputs"]
    ]


def test_lineage_that_no_job_makes_is_in_the_graph(tick, told, store):
    """From a dataset to the dataset that is said to be made from it, on the way to what jobs make of it."""
    landing = AssetSpec("landing")
    report = AssetSpec("report", deps=[landing, "elsewhere"])

    @asset(deps=[report])
    def summary(): ...

    tick(Definitions(assets=[landing, report, summary], jobs=[define_asset_job("nightly", [summary])]))
    store.put(told())

    expected = {
        ("landing", "report"),
        ("elsewhere", "report"),
        ("report", "nightly.summary"),
        ("nightly.summary", "summary"),
    }
    assert expected == store.graph("summary")[0]
    assert expected - {("elsewhere", "report")} == store.graph("landing")[0]


def test_an_asset_of_another_code_location_is_only_read(tick, told):
    """Its own code location says what it is."""

    @asset(deps=["elsewhere"])
    def here(): ...

    tick(Definitions(assets=[here]))
    events = told()

    assert ["here"] == list(datasets(events))
    assert (["elsewhere"], ["here"]) == declared(events)["__ASSET_JOB.here"]


class WarehouseIOManager(ConfigurableIOManager):
    """Names the table when it stores, as Dagster's own IO managers for databases do."""

    def handle_output(self, context, obj):
        context.add_output_metadata({"dagster/table_name": "DB.S.T", "dagster/storage_kind": "snowflake"})

    def load_input(self, context):
        raise AssertionError(context)


def test_an_asset_that_its_io_manager_will_name_waits_for_its_name(instance, tick, told):
    """Called by its key now and by its table later, it would be two datasets."""

    @asset(io_manager_key="warehouse")
    def stored():
        return 1

    @asset(deps=[stored])
    def after() -> None: ...

    def code(*more):
        jobs = [define_asset_job("nightly", [stored, after])]
        return Definitions(
            assets=[stored, after, *more], jobs=jobs, resources={"warehouse": WarehouseIOManager()}
        )

    first = code()
    tick(first)
    assert {"nightly": ([], []), "nightly.stored": ([], []), "nightly.after": ([], ["after"])} == declared(
        told()
    )

    assert first.resolve_job_def("nightly").execute_in_process(instance=instance).success
    tick(first)
    told()
    tick.restart()
    tick(code(AssetSpec("new", deps=[stored])))
    found = datasets(told())

    assert {"DB.S.T", "after", "new"} == set(found)
    assert [("snowflake", "DB.S.T")] == [
        (each["namespace"], each["name"]) for each in found["new"]["lineage"]["inputs"]
    ]


def test_columns_that_the_code_declares(tick, told):
    """``dagster/column_lineage`` of a definition is the columnLineage of what the step writes."""
    deps = {"id": [TableColumnDep(asset_key=AssetKey("source"), column_name="key")]}

    @asset(metadata={"dagster/column_lineage": TableColumnLineage(deps_by_column=deps)})
    def target(): ...

    tick(Definitions(assets=[target, AssetSpec("source")]))
    [event] = [event for event in told() if event.get("job", {}).get("name") == "__ASSET_JOB.target"]
    [output] = event["outputs"]

    assert ["source"] == [each["name"] for each in event["inputs"]]
    assert {"id": [("dagster", "source", "key")]} == {
        column: [(each["namespace"], each["name"], each["field"]) for each in field["inputFields"]]
        for column, field in output["facets"]["columnLineage"]["fields"].items()
    }


def test_jobs_have_the_names_of_datahubs_plugin_where_these_are_wanted(tick, backend):
    """As their runs will."""
    tick.restart(job_names="datahub-plugin")
    tick(SHOP)

    names = {event.job.name for event in backend.events if isinstance(event, JobEvent)}

    assert {"prod/nightly", "prod/nightly.prod/orders"} <= names


def test_code_that_cannot_be_read_so_leaves_the_runs_observed(instance, tick, told, monkeypatch, caplog):
    """Snapshots are Dagster's own affair: a version in which they look otherwise costs the graph alone."""
    monkeypatch.setattr(repository.RepositorySnap, "from_def", lambda *_: 1 / 0)
    tick(SHOP)
    assert "cannot be read" in caplog.text
    assert SHOP.resolve_job_def("nightly").execute_in_process(instance=instance).success

    tick(SHOP)

    assert {"START", "COMPLETE"} == {event["eventType"] for event in told()}
