"""What the OpenLineage specification says of an event: where one breaks its JSON schemas, and which of their rules.

``schemas/`` holds the schemas of specification 2-0-2 and of its facets as they are published (see ``schemas/README.md``).
Minor versions of a facet only add to it, so an older facet is held against the newest schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

import attrs
from jsonschema import (  # type: ignore[import-untyped]  # published without type information
    Draft202012Validator,
    FormatChecker,
    ValidationError,
)
from referencing import Registry, Resource

from openlineage_bridge.events import decode

CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
KINDS = ("RunEvent", "JobEvent", "DatasetEvent")

FACET_KINDS = {"RunFacet", "JobFacet", "DatasetFacet", "InputDatasetFacet", "OutputDatasetFacet"}
"""Definitions of the core schema that say where a facet stands."""

MOST_OF_A_MESSAGE = 300


@attrs.frozen
class Violation:
    """Where an event is not what the specification says.

    Args:
        path: JSON path of the place: ``$.run.runId``.
        rule: The rule that it breaks, as an address with a JSON pointer.
        message: What is wrong there.
    """

    path: str
    rule: str
    message: str


def violations(event: Any) -> list[Violation]:
    """Every violation in a decoded event, those of the event itself before those of its facets."""
    if not isinstance(event, Mapping):
        return [Violation("$", f"{CORE}#/oneOf", f"an event is an object, not {type(event).__name__}")]
    broken = [*_broken(f"{CORE}#/$defs/{kind_of(event)}", event, "$")]
    for kind, path, facets in _facets(event):
        for key, facet in facets.items():
            schema = _schemas().get((kind, key))
            if schema and not (isinstance(facet, Mapping) and facet.get("_deleted") is True):
                broken += _broken(schema, facet, f"{path}.{key}")
    # A facet's schema repeats what the core schema says of every facet.
    return list({(each.path, each.message): each for each in reversed(broken)}.values())[::-1]


def kind_of(event: Mapping[str, Any]) -> str:
    """By the last part of ``schemaURL``, else by shape (OpenLineage core, ``oneOf``)."""
    declared = str(event.get("schemaURL") or "").rpartition("/")[2]
    if declared in KINDS:
        return declared
    if event.get("run") is not None:
        return "RunEvent"
    return "DatasetEvent" if event.get("dataset") is not None and event.get("job") is None else "JobEvent"


def _facets(event: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Kind, path and facets of everything in an event that has facets."""
    places = [
        ("RunFacet", "$.run", event.get("run"), "facets"),
        ("JobFacet", "$.job", event.get("job"), "facets"),
        ("DatasetFacet", "$.dataset", event.get("dataset"), "facets"),
    ]
    for role, kind in (("input", "InputDatasetFacet"), ("output", "OutputDatasetFacet")):
        datasets = event.get(f"{role}s")
        for index, dataset in enumerate(datasets if isinstance(datasets, list) else ()):
            path = f"$.{role}s[{index}]"
            places += [("DatasetFacet", path, dataset, "facets"), (kind, path, dataset, f"{role}Facets")]
    for kind, path, subject, key in places:
        if isinstance(subject, Mapping) and isinstance(subject.get(key), Mapping):
            yield kind, f"{path}.{key}", subject[key]


# --- schemas --------------------------------------------------------------------------------------------------------


@cache
def _documents() -> dict[str, Any]:
    """By address."""
    folder = files(__name__) / "schemas"
    found = (decode(each.read_bytes()) for each in folder.iterdir() if each.name.endswith(".json"))
    return {each["$id"]: each for each in found}


@cache
def _schemas() -> dict[tuple[str, str], str]:
    """By kind and key of a facet, the address of what its schema says."""
    return {
        (kind, key): f"{address}#/properties/{key}"
        for address, document in _documents().items()
        for key in document.get("properties", ())
        for kind in FACET_KINDS & {*re.findall(r"OpenLineage\.json#/\$defs/(\w+)", str(document))}
    }


@cache
def _validator(address: str) -> Draft202012Validator:
    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(document)) for name, document in _documents().items()
    )
    return Draft202012Validator({"$ref": address}, registry=registry, format_checker=FORMATS)


def _uuid(value: object) -> bool:
    return not isinstance(value, str) or str(UUID(value)) == value.lower()


def _uri(value: object) -> bool:
    return not isinstance(value, str) or bool(
        re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`]+", value)
    )


def _date_time(value: object) -> bool:
    """RFC 3339, 5.6: the zone is required. Nanoseconds and leap seconds are allowed there."""
    if not isinstance(value, str):
        return True
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:)(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", value)
    return bool(found and datetime.fromisoformat(f"{found[1]}{min(int(found[2]), 59):02d}"))


FORMATS = FormatChecker(formats=())
"""The formats that the schemas use; jsonschema itself checks two of them only where further packages are installed."""

FORMATS.checkers.update(
    {"uuid": (_uuid, ValueError), "uri": (_uri, ()), "date-time": (_date_time, ValueError)}
)


# --- errors ---------------------------------------------------------------------------------------------------------


def _broken(address: str, value: Any, path: str) -> Iterator[Violation]:
    for error in _validator(address).iter_errors(value):
        for each in _causes(error):
            text = (
                each.message
                if len(each.message) <= MOST_OF_A_MESSAGE
                else each.message[:MOST_OF_A_MESSAGE] + "…"
            )
            yield Violation(path + _path(each), _rule(address, each), text)


def _causes(error: ValidationError) -> Iterator[ValidationError]:
    """What is really wrong: where one of several forms has to fit, what the nearest of them misses."""
    if not error.context:
        yield error
        return
    branches: dict[Any, list[ValidationError]] = {}
    for each in error.context:
        branches.setdefault(each.schema_path[0], []).append(each)
    for each in min(branches.values(), key=len):
        yield from _causes(each)


def _path(error: ValidationError) -> str:
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in error.absolute_path)


def _rule(address: str, error: ValidationError) -> str:
    """The address of the rule: the way through the schemas, begun anew at each reference."""
    document, pointer = address.split("#")
    for step in error.absolute_schema_path:
        while (reference := _reference(document, pointer)) is not None:
            target, _, pointer = reference.partition("#")
            document = target or document
        pointer = f"{pointer}/{step}"
    return f"{document}#{pointer}"


def _reference(document: str, pointer: str) -> str | None:
    """What stands in this place as a reference to another; jsonschema follows it without a word."""
    found: Any = _documents()[document]
    for step in pointer.strip("/").split("/"):
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found.get("$ref") if isinstance(found, Mapping) else None
