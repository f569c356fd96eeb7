"""The golden project's lineage as its users meet it: in the bridge's command line, and in what DataHub is given."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance, build_sensor_context
from openlineage.client.serde import Serde

from openlineage_bridge.cli.export import command as export
from openlineage_bridge.cli.lineage import command as lineage
from openlineage_bridge.cli.replay import command as replay
from openlineage_bridge_dagster import openlineage_sensor

pytestmark = pytest.mark.filterwarnings("ignore:.*in beta")

JOBS = ("nightly", "observing", "telling")


@pytest.fixture(scope="module")
def store(project, empty_home, tmp_path_factory):
    """The store of a bridge that was told of the project: its graph as declared, then some of its runs."""
    folder = tmp_path_factory.mktemp("lineage")
    shutil.copytree(empty_home, folder / "home")
    events: list[object] = []
    with pytest.MonkeyPatch.context() as patch, DagsterInstance.local_temp(str(folder / "home")) as instance:
        patch.setenv("SHOP_FILE", str(folder / "shop.duckdb"))
        patch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
        definitions = project("definitions").defs
        sensor = openlineage_sensor(
            namespaces={"duckdb": "duckdb://shop"}, backfill="all", send=events.append
        )
        with build_sensor_context(instance=instance, definitions=definitions) as context:
            sensor(context)
            for name in JOBS:
                definitions.resolve_job_def(name).execute_in_process(instance=instance)
            sensor(context)
    lines, path = folder / "events.jsonl", folder / "bridge.db"
    lines.write_text("".join(f"{Serde.to_json(event)}\n" for event in events))
    said(replay, lines, "--store", path)
    return path


def said(command, *arguments):
    done = CliRunner().invoke(command, list(map(str, arguments)))
    assert 0 == done.exit_code, done.output
    return done.stdout


TREE = """\
Upstream
  shop.main.orders (duckdb://shop)
  └─ nightly.prod__duckdb__shop__main__orders (dagster job) COMPLETE
     └─ shop.main.raw_orders (duckdb://shop)
        └─ nightly.prod__duckdb__shop__main__raw_orders (dagster job) COMPLETE
Downstream
  shop.main.orders (duckdb://shop)
  ├─ nightly.people (dagster job) COMPLETE
  │  ├─ addresses (dagster)
  │  └─ customers (dagster)
  │     └─ nightly.people (dagster job) COMPLETE  (see above)
  ├─ nightly.prod__duckdb__shop__main__orders_passes (dagster job) COMPLETE
  └─ nightly.prod__duckdb__shop__main__orders_warns (dagster job) COMPLETE
"""


def test_in_the_command_line(store):
    """From the table as it came to all that is made of it, and what only looks at it."""
    assert TREE == said(lineage, "shop.main.orders", "--store", store)


ORDERS = "nightly,prod__duckdb__shop__main__orders"
EXPORTED = {
    "nightly,prod__duckdb__shop__main__raw_orders writes duckdb,shop.main.raw_orders",
    f"{ORDERS} comes after nightly,prod__duckdb__shop__main__raw_orders",
    f"{ORDERS} reads duckdb,shop.main.raw_orders",
    f"{ORDERS} writes duckdb,shop.main.orders",
    f"{ORDERS} makes duckdb,shop.main.orders,amount from duckdb,shop.main.raw_orders,amount",
    f"nightly,people comes after {ORDERS}",
    "nightly,people reads duckdb,shop.main.orders for customers",
    "nightly,people reads dagster,customers for addresses",
    "nightly,people writes dagster,customers",
    "nightly,people writes dagster,addresses",
    *(
        f"{ORDERS}_{check} {does}"
        for check in ("passes", "warns")
        for does in (f"comes after {ORDERS}", "reads duckdb,shop.main.orders")
    ),
    "observing,feed reads dagster,feed",
    "telling,logs reads dagster,seen",
    "telling,logs writes dagster,made",
    "telling,logs writes duckdb,shop.main.total",
    "telling,reports comes after telling,logs",
}
"""What DataHub must hold of the three jobs, written by hand: flow and job, platform and dataset, and column."""


def test_in_what_datahub_is_given(store):
    """Jobs, datasets and columns, and which input feeds which output."""
    out = store.with_name("export.json")
    said(export, "--store", store, "--output", out)

    told = {
        line
        for proposal in json.loads(out.read_text())
        if proposal["aspectName"] == "dataJobInputOutput"
        for line in edges(plain(proposal["entityUrn"]), proposal["aspect"]["json"])
    }
    assert EXPORTED == {line for line in told if line.startswith(JOBS)}


VERBS = {
    "inputDatajobEdges": "comes after",
    "inputDatasetEdges": "reads",
    "outputDatasetEdges": "writes",
}


def edges(job, aspect):
    """The aspect as lines."""
    for field, verb in VERBS.items():
        for edge in aspect.get(field, ()):
            fed = edge.get("properties", {}).get("openlineage.outputs")
            yield f"{job} {verb} {plain(edge['destinationUrn'])}{f' for {fed}' if fed else ''}"
    for pair in aspect.get("fineGrainedLineages", ()):
        [made], sources = pair["downstreams"], sorted(map(plain, pair["upstreams"]))
        yield f"{job} makes {plain(made)} from {', '.join(sources)}"


def plain(urn):
    """A URN without what is the same in all of them."""
    noise = r"urn:li:\w+:|dataPlatform:|[()]|dagster,(?=\w+,PROD\),\w+\)$)|,PROD"
    return re.sub(noise, "", urn)
