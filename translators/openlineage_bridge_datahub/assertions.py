"""Data quality checks and their results, as DataHub's assertions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from openlineage_bridge.events import Facets
from openlineage_bridge.translation import Aspect
from openlineage_bridge_datahub.encoding import field_urn, platform_urn
from openlineage_bridge_datahub.facets import facet_of, objects, text_of
from openlineage_bridge_datahub.profiles import PathOf

ENTITY = "assertion"

RESULTS = {"pass": "SUCCESS", "fail": "FAILURE", "error": "ERROR"}
"""``status`` of a test → AssertionResultType; a skipped test has no result (TestRunFacet 1-0-1)."""

_SHOWN = ("severity", "type", "content", "contentType", "name")
_COMPARED = ("expected", "actual", "content")


@attrs.frozen
class Checked:
    """Which dataset was checked, when, and by what.

    Args:
        dataset: Its URN.
        time_ms: When, in milliseconds since the epoch.
        run_id: The run that checked it; the moment where no run did.
        platform: DataHub's id of what checked it, e.g. ``dbt``; the dataset's own where nothing is known.
        path_of: Names columns as the schema does.
        rank: Orders what several runs say of the same assertion: the latest holds.
    """

    dataset: str
    time_ms: int
    run_id: str
    platform: str
    path_of: PathOf
    rank: int = 0


def assertions(use: Facets, checked: Checked) -> Iterator[Aspect]:
    """Assertions of ``dataQualityAssertions`` (1-1-0), wherever the producer put the facet."""
    for each in objects(facet_of(use, "dataQualityAssertions").get("assertions")):
        name, success = each.get("assertion"), each.get("success")
        if isinstance(name, str) and name and isinstance(success, bool):
            column = each.get("column") if isinstance(each.get("column"), str) else None
            yield from _assertion(name, column, each, "SUCCESS" if success else "FAILURE", checked)


def tests(run: Facets, checked: Checked) -> Iterator[Aspect]:
    """Assertions of the ``test`` run facet, for a run that has one dataset to test."""
    for each in objects(facet_of(run, "test").get("tests")):
        name, result = each.get("name"), RESULTS.get(str(each.get("status")).lower())
        if isinstance(name, str) and name and result:
            yield from _assertion(name, None, each, result, checked)


def _assertion(
    name: str, column: str | None, stated: Mapping[str, Any], result: str, checked: Checked
) -> Iterator[Aspect]:
    urn = assertion_urn(checked.dataset, column, name, stated.get("name"))
    yield Aspect(urn, ENTITY, "assertionInfo", _info(name, column, stated, checked), rank=checked.rank)
    yield Aspect(
        urn, ENTITY, "dataPlatformInstance", {"platform": platform_urn(checked.platform)}, rank=checked.rank
    )
    yield Aspect(urn, ENTITY, "assertionRunEvent", _result(urn, stated, result, checked), checked.time_ms)


def assertion_urn(dataset: str, column: str | None, assertion: str, name: Any = None) -> str:
    """``urn:li:assertion:…`` of the same check of the same dataset and column, from run to run."""
    key = {"assertion": assertion, "column": column or "", "dataset": dataset}
    if isinstance(name, str) and name != assertion:
        key["name"] = name
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return f"urn:li:assertion:{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"


def _info(name: str, column: str | None, stated: Mapping[str, Any], checked: Checked) -> dict[str, Any]:
    custom: dict[str, Any] = {"type": name, "entity": checked.dataset}
    if column:
        custom["field"] = field_urn(checked.dataset, checked.path_of(column))
    if isinstance(stated.get("content"), str):
        custom["logic"] = text_of(stated["content"])
    value: dict[str, Any] = {
        "type": "CUSTOM",
        "customAssertion": custom,
        "source": {"type": "EXTERNAL"},
        "description": _description(name, column, stated),
    }
    properties = {field: text_of(stated[field]) for field in _SHOWN if stated.get(field) is not None}
    parameters = stated.get("params")
    for key, parameter in sorted(parameters.items()) if isinstance(parameters, dict) else ():
        properties[f"params.{key}"] = text_of(parameter)
    return {**value, "customProperties": properties} if properties else value


def _description(name: str, column: str | None, stated: Mapping[str, Any]) -> str:
    said = stated.get("description")
    if isinstance(said, str) and said.strip():
        return said.strip()
    return f"{name} ({column})" if column else name


def _result(urn: str, stated: Mapping[str, Any], result: str, checked: Checked) -> dict[str, Any]:
    outcome: dict[str, Any] = {"type": result}
    compared = {field: text_of(stated[field]) for field in _COMPARED if stated.get(field) is not None}
    if compared:
        outcome["nativeResults"] = compared
    return {
        "timestampMillis": checked.time_ms,
        "runId": checked.run_id,
        "asserteeUrn": checked.dataset,
        "assertionUrn": urn,
        "status": "COMPLETE",
        "result": outcome,
    }
