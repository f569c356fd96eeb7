"""Facets read leniently, and as custom properties where nothing else carries them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from openlineage_bridge.events import Facets, encode
from openlineage_bridge_datahub import coverage
from openlineage_bridge_datahub.coverage import Key, Kind

MAPPED: dict[Key, str] = coverage.fates(coverage.MAPPED)
"""Read and translated (``coverage.ROWS``)."""

KEPT: dict[Key, str] = coverage.fates(coverage.KEPT)
"""Kept as custom properties, with a remark where it is needed; so is every facet outside of the specification."""

# --- custom properties ----------------------------------------------------------------------------------------------

MAX_FACET_BYTES = 8_192
"""Of a facet larger than this only the beginning is kept; Spark's logical plans are hundreds of kilobytes."""

MAX_VALUE = 1_000
"""Longest custom property; a longer one is cut and ends in an ellipsis."""

# Facets that are lists of names and values: (property prefix, list, name, value).
_PAIRS = {
    "tags": ("tag", "tags", "key", "value"),
    "executionParameters": ("parameter", "parameters", "key", "value"),
    "environmentVariables": ("env", "environmentVariables", "name", "value"),
}

_HEADER = frozenset({"_producer", "_schemaURL", "_deleted"})
# Mapped, but not all that they say.
_ALSO_KEPT: frozenset[Key] = frozenset(
    {
        ("run", "test"),
        ("dataset", "catalog"),
        ("dataset", "dataSource"),
        ("dataset", "hierarchy"),
        ("dataset", "version"),
    }
)
# Kept besides, and the same in all runs of an installation: what becomes of them is remembered.
_THE_SAME: frozenset[Key] = frozenset({("run", "processing_engine")})
# Facets of a use that real producers send among those of a dataset; a DatasetEvent's are told at their moment.
_MOMENTARY: frozenset[Key] = frozenset({("dataset", "dataQualityAssertions")})


def custom_properties(kind: Kind, facets: Facets) -> dict[str, str]:
    """The facets that nothing else carries, as ``facet.field`` → text, sorted."""
    properties: dict[str, str] = {}
    for name in sorted(facets.raw):
        key = (kind, name)
        if key in _THE_SAME:
            properties.update(_remembered(name, facets.raw[name]))
        elif key in _ALSO_KEPT or (key not in MAPPED and key not in _MOMENTARY):
            properties.update(flattened(name, facets[name]) if _fits(facets, name) else _cut(name, facets))
    return properties


@lru_cache(maxsize=256)
def _remembered(name: str, raw: bytes) -> tuple[tuple[str, str], ...]:
    """The properties of a facet that is there to the byte in run after run."""
    facets = Facets({name: raw})
    return tuple(flattened(name, facets[name]) if _fits(facets, name) else _cut(name, facets))


def use_properties(kind: str, dataset: str, facets: Facets) -> dict[str, str]:
    """What a run did to one dataset, its ``input`` or ``output``, as ``output.<dataset>.<facet>`` → JSON text."""
    return {
        f"{kind}.{dataset}.{name}": text_of(_without_header(facets[name]))
        for name in sorted(facets)
        if name != "columnLineage" and isinstance(facets[name], dict)
    }


def flattened(name: str, facet: Any) -> Iterator[tuple[str, str]]:
    """The fields of a facet as texts; a nested field is JSON, a list of names and values a property each."""
    if not isinstance(facet, dict):
        return
    if name in _PAIRS:
        yield from _pairs(*_PAIRS[name], facet)
    else:
        yield from ((f"{name}.{field}", text_of(value)) for field, value in _fields(facet))


def _pairs(
    prefix: str, listed: str, name: str, value: str, facet: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    for item in objects(facet.get(listed)):
        if isinstance(item.get(name), str):
            yield f"{prefix}.{item[name]}", text_of(item.get(value))


def objects(value: Any) -> list[dict[str, Any]]:
    """The JSON objects of a list; empty for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def words(facets: Facets, name: str, field: str) -> str:
    """A text field of a facet; empty where the facet or the field is missing or no text."""
    value = facet_of(facets, name).get(field)
    return value.strip() if isinstance(value, str) else ""


def facet_of(facets: Facets, name: str) -> Mapping[str, Any]:
    """A facet; empty where it is missing or no object."""
    # Asking the raw facets first spares the exception that a missing key costs.
    facet = facets[name] if name in facets.raw else None
    return facet if isinstance(facet, dict) else {}


def text_of(value: Any) -> str:
    """A JSON value as the text of a custom property, at most ``MAX_VALUE`` long."""
    text = value if isinstance(value, str) else encode(value).decode()
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"


def whole(value: Any) -> int | None:
    """A count that is not negative and fits 64 bits; None for anything else: producers send texts and fractions too."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def _cut(name: str, facets: Facets) -> Iterator[tuple[str, str]]:
    """The beginning of a large facet, as it was sent."""
    yield name, text_of(facets.raw[name][: 2 * MAX_VALUE].decode(errors="ignore"))


def _fits(facets: Facets, name: str) -> bool:
    return len(facets.raw[name]) <= MAX_FACET_BYTES


def _fields(facet: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((field, value) for field, value in facet.items() if field not in _HEADER and value is not None)


def _without_header(facet: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_fields(facet))
