"""The pipelines of ``examples/taxi`` as they are, on real servers: from a file on the web to tables, without a line of ours."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest
from bridge_tests.event_files import read_events

pytestmark = pytest.mark.system

TAXI = Path(__file__).parents[2] / "examples" / "taxi"

FEBRUARY, JANUARY = "yellow_tripdata_2021-02", "yellow_tripdata_2021-01"

# A run per line: job, inputs, outputs. {web} is the server of the trips, {here} the working directory, {postgres}
# and {duckdb} the databases. Written by hand, in the order in which the runs end.
WEB_TO_BUCKET = [
    ("etl-web-to-bucket.fetch", ("{web}|{file}.csv",), ()),
    ("etl-web-to-bucket.clean", (), ()),
    ("etl-web-to-bucket.write_local", (), ("file|{here}/data/yellow/{file}.parquet",)),
    (
        "etl-web-to-bucket.write_bucket",
        ("file|{here}/data/yellow/{file}.parquet",),
        ("s3://taxi-lake|data/yellow/{file}.parquet",),
    ),
    ("etl-web-to-bucket", (), ()),
]
BUCKET_TO_WAREHOUSE = [
    (
        "etl-bucket-to-warehouse.extract",
        ("s3://taxi-lake|data/yellow/{file}.parquet",),
        ("file|{here}/downloads/data/yellow/{file}.parquet",),
    ),
    (
        "etl-bucket-to-warehouse.load",
        ("file|{here}/downloads/data/yellow/{file}.parquet",),
        ("{postgres}|taxi.public.trips",),
    ),
    (
        "etl-bucket-to-warehouse.sum_up",
        ("{postgres}|taxi.public.trips",),
        ("{postgres}|taxi.public.fares_by_zone",),
    ),
    ("etl-bucket-to-warehouse", (), ()),
]
# The same month again: the file is not fetched, the rest is done.
CACHED = [("etl-web-to-bucket.fetch", (), ()), *WEB_TO_BUCKET[1:]]
REPORT = [
    (
        "report-fares.copy_fares",
        ("{postgres}|taxi.public.fares_by_zone",),
        ("{duckdb}|marts.main.fares_by_zone",),
    ),
    (
        "report-fares.write_dearest",
        ("{duckdb}|marts.main.fares_by_zone",),
        ("file|{here}/dearest_zones.parquet",),
    ),
    ("report-fares", (), ()),
]
GOLDEN = [
    *((run, JANUARY) for run in WEB_TO_BUCKET + BUCKET_TO_WAREHOUSE),
    *((run, FEBRUARY) for run in WEB_TO_BUCKET + BUCKET_TO_WAREHOUSE),
    (("load-months", (), ()), ""),
    *((run, JANUARY) for run in CACHED),
    *((run, "") for run in REPORT),
]

TRIPS = ["pickup_at", "dropoff_at", "passenger_count", "zone", "distance", "fare"]


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """Address of the server of the trips."""
    spec = importlib.util.spec_from_file_location("taxi_trips", TAXI / "trips.py")
    assert spec
    assert spec.loader
    trips: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(trips)
    with trips.server(0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest.fixture(scope="module")
def servers(web, s3_server, postgres_server, tmp_path_factory) -> dict[str, str]:
    """Where everything is, as the variables of the example."""
    psycopg = pytest.importorskip("psycopg")
    pytest.importorskip("prefect_aws")
    pytest.importorskip("prefect_sqlalchemy")
    address = f"host=127.0.0.1 port={postgres_server} user=postgres"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE DATABASE taxi")
    return {
        "TAXI_SOURCE": web,
        "TAXI_S3_ENDPOINT": s3_server,
        "TAXI_WAREHOUSE": f"postgresql+psycopg2://postgres@127.0.0.1:{postgres_server}/taxi",
        "TAXI_MARTS": str(tmp_path_factory.mktemp("taxi") / "marts.duckdb"),
    }


@attrs.frozen
class Trip:
    """What the processes that ran the flows left behind.

    Args:
        events: Their OpenLineage events, in order.
        names: What the placeholders of ``GOLDEN`` stand for.
        deployment: The deployment, as Prefect's server knows it.
    """

    events: list[dict[str, Any]]
    names: dict[str, str]
    deployment: dict[str, Any]

    def ends(self, job: str) -> list[dict[str, Any]]:
        """The last events of a job's runs."""
        return [
            each for each in self.events if each["job"]["name"] == job and each["eventType"] == "COMPLETE"
        ]


@attrs.frozen
class Traveller:
    """Runs the example's flows in one folder, against one Prefect server.

    Args:
        folder: Where they run.
        api: Address of the server's API.
        env: Their variables.
    """

    folder: Path
    api: str
    env: dict[str, str]

    def run(self, script: Path) -> None:
        """Run a script to its end."""
        command = [sys.executable, str(script)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr

    def ask(self, path: str, body: object = None) -> Any:
        """What Prefect's server answers; None when it knows no such thing."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.api + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError:
            return None

    def events(self) -> list[dict[str, Any]]:
        """The events so far."""
        return read_events(self.folder / "events.jsonl")

    def ended(self, job: str) -> bool:
        """Whether a run of the job has come to an end."""
        over = {"COMPLETE", "FAIL", "ABORT"}
        return any(each["job"]["name"] == job and each["eventType"] in over for each in self.events())


@pytest.fixture(scope="module")
def traveller(servers, prefect_server, environment_of, tmp_path_factory) -> Traveller:
    """A folder to run in, with the blocks registered."""
    folder = tmp_path_factory.mktemp("taxi-flows")
    variables = {**servers, "PREFECT_API_URL": prefect_server.api}
    made = Traveller(folder, prefect_server.api, environment_of(folder, folder / "events.jsonl", **variables))
    made.run(TAXI / "blocks.py")
    return made


@pytest.fixture(scope="module")
def trip(traveller, servers, postgres_server, process, wait_until) -> Trip:
    """The deployment, asked for two months; then, in a process of its own, one month again and the report."""
    known = "/deployments/name/load-months/monthly-trips"
    serve = (sys.executable, str(TAXI / "deployment.py"))
    with process(*serve, log=traveller.folder / "log", env=traveller.env):
        wait_until(lambda: traveller.ask(known) is not None, 60, "the deployment")
        deployment = traveller.ask(known)
        asked = {"parameters": {"color": "yellow", "year": 2021, "months": [1, 2]}}
        traveller.ask(f"/deployments/{deployment['id']}/create_flow_run", asked)
        wait_until(lambda: traveller.ended("load-months"), 90, "the run of the deployment")
    traveller.run(Path(__file__).parent / "scripts" / "taxi.py")
    names = {
        "web": servers["TAXI_SOURCE"],
        "here": str(traveller.folder),
        "postgres": f"postgres://127.0.0.1:{postgres_server}",
        "duckdb": f"duckdb://{servers['TAXI_MARTS']}",
    }
    return Trip(traveller.events(), names, deployment)


def _names(datasets: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted(f"{dataset['namespace']}|{dataset['name']}" for dataset in datasets))


def _columns(dataset: dict[str, Any]) -> list[str]:
    return [field["name"] for field in dataset["facets"]["schema"]["fields"]]


def _sources(dataset: dict[str, Any]) -> dict[str, set[str]]:
    fields = dataset["facets"]["columnLineage"]["fields"]
    return {
        name: {f"{each['name']}.{each['field']}" for each in field["inputFields"]}
        for name, field in fields.items()
    }


def test_the_flows_have_no_line_of_ours() -> None:
    """Nothing in the example's code knows of lineage or of this project."""
    lines = [line for path in TAXI.glob("*.py") for line in path.read_text().splitlines()]

    assert not [line for line in lines if "openlineage" in line.lower()]


def test_every_run_reads_and_writes_what_it_did(trip) -> None:
    """Web, pandas, parquet, bucket, PostgreSQL and DuckDB; a subflow per month; the cached task did nothing."""
    expected = [
        (job, *(tuple(name.format(file=file, **trip.names) for name in names) for names in datasets))
        for (job, *datasets), file in GOLDEN
    ]
    actual = [
        (event["job"]["name"], _names(event["inputs"]), _names(event["outputs"]))
        for event in trip.events
        if event["eventType"] not in {"START", "RUNNING"}
    ]

    assert expected == actual


def test_the_subflows_belong_to_the_parent(trip) -> None:
    """Each month's two flows, and no other flow, are children of the run of ``load-months``."""
    (parent,) = trip.ends("load-months")
    families = [
        event["run"]["facets"]["parent"]["run"]["runId"] if "parent" in event["run"]["facets"] else None
        for job in ("etl-web-to-bucket", "etl-bucket-to-warehouse")
        for event in trip.ends(job)
    ]

    assert [parent["run"]["runId"]] * 2 + [None] + [parent["run"]["runId"]] * 2 == families


def test_the_deployment_has_its_schedule_and_parameters(trip) -> None:
    """The cron schedule is Prefect's to keep; the run says what it was asked for and which deployment it is of."""
    (schedule,) = trip.deployment["schedules"]
    start = next(
        each for each in trip.events if each["job"]["name"] == "load-months" and each["eventType"] == "START"
    )
    parameters = start["run"]["facets"]["executionParameters"]["parameters"]

    assert ("0 6 5 * *", [3]) == (schedule["schedule"]["cron"], trip.deployment["parameters"]["months"])
    assert {"color": "yellow", "year": "2021"} == {
        each["name"]: each["value"] for each in parameters if each["name"] != "months"
    }
    assert trip.deployment["id"] in json.dumps(start["run"]["facets"]["prefect_flowRun"])


def test_files_bring_their_schema_and_size(trip) -> None:
    """The columns of CSV and parquet; rows where pandas told; the size of a file and of the object that it became."""
    fetched = trip.ends("etl-web-to-bucket.fetch")[0]["inputs"][0]
    written = trip.ends("etl-web-to-bucket.write_local")[0]["outputs"][0]
    uploaded = trip.ends("etl-web-to-bucket.write_bucket")[0]["outputs"][0]
    downloaded = trip.ends("etl-bucket-to-warehouse.extract")[0]["inputs"][0]
    size = Path(written["name"]).stat().st_size

    assert TRIPS == _columns(fetched)
    assert TRIPS == _columns(written)
    assert 500 == fetched["inputFacets"]["inputStatistics"]["rowCount"]
    assert 400 < written["outputFacets"]["outputStatistics"]["rowCount"] < 500
    assert size == written["outputFacets"]["outputStatistics"]["size"]
    assert size == uploaded["outputFacets"]["outputStatistics"]["size"]
    assert size == downloaded["inputFacets"]["inputStatistics"]["size"]


def test_tables_bring_their_columns_and_where_those_come_from(trip) -> None:
    """``to_sql`` tells the columns of the table, SQL their lineage, in PostgreSQL and from DuckDB to parquet."""
    loaded = trip.ends("etl-bucket-to-warehouse.load")[0]["outputs"][0]
    summed = trip.ends("etl-bucket-to-warehouse.sum_up")[0]["outputs"][0]
    reported = trip.ends("report-fares.write_dearest")[0]["outputs"][0]

    assert [*TRIPS, "color", "month"] == _columns(loaded)
    assert {
        "color": {"taxi.public.trips.color"},
        "month": {"taxi.public.trips.month"},
        "zone": {"taxi.public.trips.zone"},
        "fares": {"taxi.public.trips.fare"},
    } == _sources(summed)
    assert {
        "zone": {"marts.main.fares_by_zone.zone"},
        "fare": {"marts.main.fares_by_zone.fares", "marts.main.fares_by_zone.trips"},
    } == _sources(reported)


@pytest.fixture(scope="module")
def bridge(trip, tmp_path_factory) -> Callable[..., str]:
    """Runs a command of ``openlineage-bridge`` on a store with all events; what it printed."""
    folder = tmp_path_factory.mktemp("bridge")
    events = folder / "events.jsonl"
    events.write_text("".join(f"{json.dumps(event)}\n" for event in trip.events))
    # A run is about one month; what the jobs do is seen over several.
    (folder / "openlineage-bridge.yml").write_text("store: bridge.db\nlineage_window: 12\n")

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "openlineage_bridge", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("replay", str(events))
    return run


def _above(edges: dict[str, set[str]], node: str) -> set[str]:
    """Everything upstream of a node, given what is one hop upstream of each."""
    found: set[str] = set()
    front = {node}
    while front:
        found |= front
        front = {upper for lower in front for upper in edges[lower]} - found
    return found - {node}


def test_the_events_lead_from_the_table_to_the_web(trip) -> None:
    """Datasets lead from job to job; where a task hands data to the next one in memory, ``jobDependencies`` does."""
    edges: dict[str, set[str]] = defaultdict(set)
    for event in trip.events:
        job = event["job"]["name"]
        edges[job] |= {*_names(event["inputs"])}
        for written in _names(event["outputs"]):
            edges[written].add(job)
        for other in event["run"]["facets"].get("jobDependencies", {}).get("upstream", ()):
            edges[job].add(other["job"]["name"])
    above = _above(edges, f"{trip.names['postgres']}|taxi.public.fares_by_zone")

    assert {f"{trip.names['web']}|{file}.csv" for file in (JANUARY, FEBRUARY)} <= above
    assert {f"s3://taxi-lake|data/yellow/{file}.parquet" for file in (JANUARY, FEBRUARY)} <= above


def test_the_catalog_leads_from_the_table_to_the_web(bridge, tmp_path) -> None:
    """The same in DataHub's words: ``inputDatajobEdges`` between the tasks that hand on data in memory."""
    exported = tmp_path / "proposals.json"
    bridge("export", "--output", str(exported))
    edges: dict[str, set[str]] = defaultdict(set)
    for each in json.loads(exported.read_text()):
        if each.get("aspectName") != "dataJobInputOutput":
            continue
        value = each["aspect"]["json"]
        for edge in value.get("inputDatasetEdges", []) + value.get("inputDatajobEdges", []):
            edges[each["entityUrn"]].add(edge["destinationUrn"])
        for edge in value.get("outputDatasetEdges", []):
            edges[edge["destinationUrn"]].add(each["entityUrn"])
    above = _above(edges, "urn:li:dataset:(urn:li:dataPlatform:postgres,taxi.public.fares_by_zone,PROD)")

    assert {JANUARY, FEBRUARY} == {
        file for file in (JANUARY, FEBRUARY) if any(f"{file}.csv," in urn for urn in above)
    }


def test_the_command_line_shows_the_lineage(bridge) -> None:
    """``openlineage-bridge lineage``: PostgreSQL, DuckDB, parquet and the bucket, and the jobs between them, as a tree."""
    tree = bridge("lineage", "taxi.public.fares_by_zone")
    above, below = tree.split("Downstream")
    order = [
        "taxi.public.fares_by_zone (postgres:",
        "etl-bucket-to-warehouse.sum_up",
        "taxi.public.trips (postgres:",
        "etl-bucket-to-warehouse.load",
        f"/downloads/data/yellow/{JANUARY}.parquet (file)",
        "etl-bucket-to-warehouse.extract",
        f"data/yellow/{JANUARY}.parquet (s3://taxi-lake)",
        "etl-web-to-bucket.write_bucket",
        f"/data/yellow/{JANUARY}.parquet (file)",
        "etl-web-to-bucket.write_local",
    ]
    places = [above.find(name) for name in order]
    names_below = ["report-fares.copy_fares", "marts.main.fares_by_zone", "dearest_zones.parquet (file)"]
    places_below = [below.find(name) for name in names_below]

    assert -1 not in places + places_below
    assert sorted(places_below) == places_below


def test_dask_workers_report_what_their_tasks_do(run_script, servers) -> None:
    """In processes of their own, and in threads: the same lineage as without Dask, below the flow run of the parent process."""
    outcome = run_script("taxi_dask.py", **servers)
    tasks = [event for event in outcome.events if "." in event["job"]["name"]]
    flows = {event["run"]["runId"] for event in outcome.events if "." not in event["job"]["name"]}
    parents = {event["run"]["facets"]["parent"]["run"]["runId"] for event in tasks}
    moved = {
        (event["job"]["name"].rpartition(".")[2], name.rpartition("|")[2].rpartition("/")[2])
        for event in tasks
        if event["eventType"] == "COMPLETE"
        for name in _names(event["inputs"] + event["outputs"])
    }
    files = ("yellow_tripdata_2021-04", "green_tripdata_2021-06")

    assert outcome.returncode == 0, outcome.stderr
    assert 2 == len(flows)
    assert flows == parents
    assert {
        each
        for file in files
        for each in (
            ("fetch", f"{file}.csv"),
            ("write_local", f"{file}.parquet"),
            ("write_bucket", f"{file}.parquet"),
        )
    } == moved
