"""The same Dagster runs through DataHub's plugin and through this collector and the bridge: what DataHub holds afterwards.

Every entity and every edge that the plugin's sensor sends to a stub of DataHub is looked for in what the bridge exports for
the same runs; what is not there is listed with its reason, and one without a reason makes the exit code 1.

It needs an environment with ``acryl-datahub-dagster-plugin``: ``make bench-dagster`` makes it.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import dagster_receiver
import report
from dagster import DagsterInstance, build_sensor_context
from openlineage.client.serde import Serde

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples" / "from_datahub_plugin"
FILES = [*sorted(EXAMPLES.glob("*.py")), HERE / "dagster_jobs.py", HERE / "dagster_project.py"]

OUR_NAMES = "openlineage_bridge_dagster.datahub"

EDGES = {
    "inputDatasetEdges": ("reads", "destinationUrn"),
    "inputDatajobEdges": ("comes after", "destinationUrn"),
    "outputDatasetEdges": ("writes", "destinationUrn"),
}

Edge = tuple[str, str, str]


@attrs.frozen
class Held:
    """What DataHub holds: entities with their aspects, edges, and how runs of each job ended."""

    entities: dict[str, set[str]]
    edges: set[Edge]
    ends: Counter[tuple[str, str]]


def held(proposals: Iterable[dict[str, Any]]) -> Held:
    """What a DataHub that took these proposals shows."""
    entities: dict[str, set[str]] = {}
    edges: set[Edge] = set()
    templates: dict[str, str] = {}
    results: dict[str, str] = {}
    for each in proposals:
        urn, name, aspect = each["entityUrn"], each["aspectName"], each["aspect"]
        entities.setdefault(urn, set()).add(name)
        edges.update(edges_of(urn, name, aspect))
        if name == "dataProcessInstanceRelationships":
            templates[urn] = aspect.get("parentTemplate", "")
        elif name == "dataProcessInstanceRunEvent" and aspect["status"] == "COMPLETE":
            results[urn] = aspect.get("result", {}).get("type", "")
    return Held(entities, edges, Counter((templates.get(urn, ""), end) for urn, end in results.items()))


def edges_of(urn: str, name: str, aspect: Any) -> Iterator[Edge]:
    """The edges that an aspect, or a patch of one, states."""
    if name == "dataJobInputOutput":
        for field, (verb, key) in EDGES.items():
            yield from ((urn, verb, edge[key]) for edge in aspect.get(field) or ())
        for field, verb in (
            ("inputDatasets", "reads"),
            ("outputDatasets", "writes"),
            ("inputDatajobs", "comes after"),
        ):
            yield from ((urn, verb, other) for other in aspect.get(field) or ())
    elif name == "upstreamLineage":
        changes = aspect if isinstance(aspect, list) else aspect.get("patch", [])
        values = [change["value"] for change in changes if isinstance(change.get("value"), dict)]
        for upstream in [*values, *(aspect.get("upstreams", []) if isinstance(aspect, dict) else [])]:
            if "dataset" in upstream:
                yield (urn, "is made from", upstream["dataset"])


def with_plugin() -> ModuleType:
    """The plugin's own classes under the name of our shim."""
    from datahub.ingestion.graph.client import DatahubClientConfig, DataHubGraph
    from datahub.utilities.urns.dataset_urn import DatasetUrn
    from datahub_dagster_plugin.client.dagster_generator import DagsterGenerator, DatasetLineage
    from datahub_dagster_plugin.sensors.datahub_sensors import DatahubDagsterSourceConfig, make_datahub_sensor

    module = ModuleType(OUR_NAMES)
    for each in (
        DatahubClientConfig,
        DataHubGraph,
        DatasetUrn,
        DagsterGenerator,
        DatasetLineage,
        DatahubDagsterSourceConfig,
        make_datahub_sensor,
    ):
        setattr(module, each.__name__, each)
    return module


def loaded(path: Path, names: ModuleType) -> ModuleType:
    """A file of jobs, executed with these names behind its import."""
    before = sys.modules.get(OUR_NAMES)
    sys.modules[OUR_NAMES] = names
    try:
        spec = importlib.util.spec_from_file_location(f"{path.stem}_{id(names)}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        if before is None:
            del sys.modules[OUR_NAMES]
        else:
            sys.modules[OUR_NAMES] = before
    return module


def tick(sensor: Any, instance: DagsterInstance, module: ModuleType, cursor: str | None) -> str | None:
    """One evaluation; the cursor after it."""
    with build_sensor_context(instance=instance, cursor=cursor, definitions=module.defs) as context:
        sensor(context)
        return context.cursor


def run_all(instance: DagsterInstance, module: ModuleType) -> int:
    """Every job once; how many there were."""
    jobs = [job for job in module.defs.get_repository_def().get_all_jobs() if not job.name.startswith("__")]
    for job in sorted(jobs, key=lambda each: each.name):
        job.execute_in_process(instance=instance, raise_on_error=False)
    return len(jobs)


def compared(path: Path, plugin: ModuleType, home: Path) -> tuple[Held, Held, int]:
    """What comes of a file's jobs: of the plugin, of ours, and how many runs there were."""
    ours = importlib.import_module(OUR_NAMES)
    home.mkdir()
    with DagsterInstance.local_temp(str(home)) as instance, dagster_receiver.listening(home) as gms:
        theirs_loaded, ours_loaded = loaded(path, plugin), loaded(path, ours)
        client = theirs_loaded.config.datahub_client_config.model_copy(update={"server": gms.url})
        config = theirs_loaded.config.model_copy(update={"datahub_client_config": client})
        their_sensor = plugin.make_datahub_sensor(config, monitor_all_code_locations=True)
        events: list[Any] = []
        our_sensor = ours.make_datahub_sensor(
            ours_loaded.config, monitor_all_code_locations=True, send=events.append
        )
        theirs = tick(their_sensor, instance, theirs_loaded, None)
        mine = tick(our_sensor, instance, ours_loaded, None)
        runs = run_all(instance, ours_loaded)
        for _ in range(3 * runs + 3):
            theirs = tick(their_sensor, instance, theirs_loaded, theirs)
        tick(our_sensor, instance, ours_loaded, mine)
        return held(gms.proposals()), held(translated(events, home)), runs


def translated(events: list[Any], folder: Path) -> list[dict[str, Any]]:
    """What DataHub should hold after these events, by the bridge's own command."""
    path = folder / "events.jsonl"
    path.write_text("".join(f"{Serde.to_json(event)}\n" for event in events))
    command = [sys.executable, "-m", "openlineage_bridge", "translate", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [{**each, "aspect": each["aspect"]["json"]} for each in found]


def tell(name: str, theirs: Held, ours: Held, runs: int) -> int:
    """The comparison in words; how much is missing without a reason."""
    report.heading(f"{name}: {runs} runs")
    entities = {
        urn for urn in theirs.entities if not urn.startswith(("urn:li:dataProcessInstance", "urn:li:tag"))
    }
    missing: list[tuple[str, str]] = [(urn, "") for urn in sorted(entities - ours.entities.keys())]
    missing += [(" ".join(edge), reason(edge, ours)) for edge in sorted(theirs.edges - ours.edges)]
    missing += [
        (f"{count} runs of {job} that ended {end}", "")
        for (job, end), count in sorted((theirs.ends - ours.ends).items())
    ]
    report.figure(
        "entities of the plugin that are ours too",
        f"{len(entities & ours.entities.keys())} of {len(entities)}",
    )
    report.figure(
        "edges of the plugin that are ours too", f"{len(theirs.edges & ours.edges)} of {len(theirs.edges)}"
    )
    report.figure("runs that ended: plugin, ours", f"{theirs.ends.total()}, {ours.ends.total()}")
    for what, why in missing:
        print(f"  NOT ours: {what}\n            {why or 'NO REASON KNOWN'}")
    for edge in sorted(ours.edges - theirs.edges):
        print(f"  ours alone: {' '.join(edge)}")
    for (job, end), count in sorted((ours.ends - theirs.ends).items()):
        print(f"  ours alone: {count} runs of {job} that ended {end}")
    return sum(1 for _, why in missing if not why)


def reason(edge: Edge, ours: Held) -> str:
    """Why an edge of the plugin is not in what we export; empty when nobody knows."""
    one, verb, other = edge
    if verb == "comes after" and ",None/" in other:
        return "a job that does not exist: the plugin writes None where a file has no module"
    writers = {job for job, does, dataset in ours.edges if (does, dataset) == ("writes", one)}
    if verb != "is made from" or not writers:
        return ""
    if any((job, "reads", other) in ours.edges for job in writers):
        return "said by the op, which reads the one and writes the other"
    if any((job, "writes", other) in ours.edges for job in writers):
        return "an asset and its table: the op writes both"
    return ""


def prepared() -> bool:
    """Whether DataHub's plugin is installed, and is told to be quiet; where it is not, that is printed."""
    if importlib.util.find_spec("datahub_dagster_plugin") is None:
        print("acryl-datahub-dagster-plugin is not installed here: `make bench-dagster` makes an environment")
        return False
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    os.environ["DATAHUB_TELEMETRY_ENABLED"] = "false"
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    return True


def main() -> None:
    """All files, one after another."""
    if not prepared():
        return
    plugin = with_plugin()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHOP_FILE"] = str(Path(folder) / "shop.duckdb")  # of dagster_project.py
        unexplained = sum(
            tell(path.name, *compared(path, plugin, Path(folder) / path.stem)) for path in FILES
        )
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
