"""Events as lines that a person can write: case | type | job | parent | inputs | outputs | marks."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

NO_RUN = "no run"
NOTHING = "-"
_DAGSTERS_OWN = re.compile(r"dagster\.[\w.]*?(\w+)(:.*)?")
"""An exception of Dagster's: its name is what stays the same from version to version."""


def golden(path: Path, dagster: tuple[int, ...]) -> Counter[str]:
    """The lines of a golden file that hold for this version of Dagster.

    ``[case]`` heads a section, ``#`` a comment; spaces around ``|`` only align; ``START>=1.12`` is told from that version on.
    """
    lines: Counter[str] = Counter()
    case = ""
    for line in filter(None, map(str.strip, path.read_text("utf-8").splitlines())):
        if line.startswith("["):
            case = line.strip("[]")
        elif not line.startswith("#"):
            kind, *parts = line.split("|", 5)
            kind, _, since = kind.partition(">=")
            if not since or dagster >= tuple(map(int, since.split("."))):
                lines[_line([case, kind, *parts])] += 1
    return lines


def told(distinct: Iterable[str]) -> Counter[str]:
    """Events, as JSON texts, in the same form. Each text once: delivery is at least once, and what comes twice is the same."""
    events = [json.loads(text) for text in distinct]
    cases = {
        event["run"]["runId"]: tag["value"]
        for event in events
        if "run" in event
        for tag in event["run"]["facets"].get("tags", {}).get("tags", [])
        if tag["key"] == "case"
    }
    return Counter(_tell(event, cases) for event in events)


def lives(distinct: Iterable[str]) -> Counter[tuple[str, ...]]:
    """How often runs have lived so: the types of their events by event time, a START before what ends it."""
    events = [event for event in map(json.loads, distinct) if "run" in event]
    found: dict[str, list[str]] = {}
    for event in sorted(events, key=lambda event: (event["eventTime"], event["eventType"] != "START")):
        found.setdefault(event["run"]["runId"], []).append(event["eventType"])
    return Counter(map(tuple, found.values()))


def _line(parts: Iterable[str]) -> str:
    return " | ".join(part.strip() for part in parts)


def _tell(event: dict, cases: dict[str, str]) -> str:
    if "run" not in event:
        dataset = event["dataset"]
        return _line([NO_RUN, "DATASET", NOTHING, NOTHING, NOTHING, _name(dataset), _marks(_of(dataset))])
    facets = event["run"]["facets"]
    parent = facets.get("parent")
    run_id = event["run"]["runId"] if parent is None else parent["run"]["runId"]
    if parent is not None:
        assert parent["run"] == parent["root"]["run"]
        assert parent["job"] == parent["root"]["job"]
    return _line(
        [
            cases[run_id],
            event["eventType"],
            event["job"]["name"],
            parent["job"]["name"] if parent else NOTHING,
            _names(event["inputs"]),
            _names(event["outputs"]),
            _marks(chain(_of_run(facets), _of_job(event["job"]["facets"]), *map(_of, _datasets(event)))),
        ]
    )


def _datasets(event: dict) -> list[dict]:
    return [*event["inputs"], *event["outputs"]]


def _names(datasets: list[dict]) -> str:
    return ", ".join(sorted(map(_name, datasets))) or NOTHING


def _name(dataset: dict) -> str:
    """A DuckDB file's namespace without the file, whose folder is another one each time."""
    return f"{dataset['namespace'].partition('://')[0]}:{dataset['name']}"


def _marks(marks: Iterable[str]) -> str:
    return "; ".join(sorted(set(marks))) or NOTHING


def _of_run(facets: dict) -> Iterator[str]:
    attempt = facets.get("dagster_step", {}).get("attempt", 1)
    if attempt > 1:
        yield f"attempt {attempt}"
    if "errorMessage" in facets:
        message = facets["errorMessage"]["message"].splitlines()[0]
        own = _DAGSTERS_OWN.fullmatch(message)
        yield f"error {own[1] if own else message}"
    if "nominalTime" in facets:
        yield f"nominal {facets['nominalTime']['nominalStartTime'].removesuffix('T00:00:00Z')}"
    if facets.get("dagster_run", {}).get("parentRunId"):
        yield "re-execution"


def _of_job(facets: dict) -> Iterator[str]:
    """The explicit edges of a step with several outputs."""
    for entry in facets.get("lineage", {}).get("entries", []):
        yield f"edge {entry['name']}<-{','.join(sorted(source['name'] for source in entry['inputs']))}"


def _of(dataset: dict) -> Iterator[str]:
    facets = {
        **dataset.get("facets", {}),
        **dataset.get("inputFacets", {}),
        **dataset.get("outputFacets", {}),
    }
    if "outputStatistics" in facets:
        yield f"rows {facets['outputStatistics']['rowCount']}"
    if "schema" in facets:
        yield f"schema {','.join(field['name'] for field in facets['schema']['fields'])}"
    if "version" in facets and len(facets["version"]["datasetVersion"]) < 20:  # others are Dagster's digests
        yield f"version {facets['version']['datasetVersion']}"
    for check in facets.get("dataQualityAssertions", {}).get("assertions", []):
        column = f" on {check['column']}" if check.get("column") else ""
        yield f"check {check['name']} {'passed' if check['success'] else 'failed'} {check['severity']}{column}"
    if condition := facets.get("subset", {}).get("outputCondition"):
        yield f"partitions {','.join(each['identifier'] for each in condition['partitions'])}"
    for column, field in facets.get("columnLineage", {}).get("fields", {}).items():
        sources = [f"{source['name']}.{source['field']}" for source in field["inputFields"]]
        yield f"column {column}<-{','.join(sources)}"
