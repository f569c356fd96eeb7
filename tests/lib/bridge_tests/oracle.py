"""acryl-datahub as the judge: would DataHub accept this aspect on this entity?

Its classes find missing fields and wrong types; the rest is what GMS refuses and the classes miss: unknown keys, aspects
on the wrong entity, URNs that do not parse or are too long, repeated field paths, times that are no milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote_plus

from avro.schema import ArraySchema, MapSchema, RecordSchema, UnionSchema
from datahub.emitter.serialization_helper import post_json_transform
from datahub.metadata.schema_classes import KEY_ASPECTS, _Aspect
from datahub.metadata.urns import Urn
from datahub.utilities.urns.error import InvalidUrnError

MAX_ENCODED = 512
# 2000-01-01 and 2100-01-01: seconds and nanoseconds fall outside.
EARLIEST_MS, LATEST_MS = 946_684_800_000, 4_102_444_800_000


def judge(
    entity_type: str, urn: str, aspect_name: str, value: Any, timestamp_ms: int | None = None
) -> list[str]:
    """Everything that DataHub would object to; empty when it accepts the proposal."""
    if entity_type not in KEY_ASPECTS:
        return [f"unknown entity {entity_type!r}"]
    cls = aspect_classes().get(aspect_name)
    if cls is None:
        return [f"unknown aspect {aspect_name!r}"]
    problems = [*_allowed(entity_type, aspect_name), *_urn_problems(urn, entity_type)]
    problems += _timeseries(cls, aspect_name, value, timestamp_ms)
    wire = json.loads(json.dumps(value, ensure_ascii=False, default=_not_json))
    problems += _unknown_keys(cls.RECORD_SCHEMA, wire, aspect_name)
    problems += [problem for text in _urns_in(wire) for problem in _urn_problems(text, None)]
    problems += _schema(wire) if aspect_name == "schemaMetadata" else []
    try:
        if not cls.from_obj(post_json_transform(wire)).validate():
            problems.append(f"{aspect_name}: not valid by its Avro schema")
    except Exception as error:
        problems.append(f"{aspect_name}: {type(error).__name__}: {error}")
    return problems


@cache
def aspect_classes() -> dict[str, type[_Aspect]]:
    """All aspects by name."""

    def below(cls: type) -> Iterator[type]:
        for each in cls.__subclasses__():
            yield each
            yield from below(each)

    return {cls.ASPECT_NAME: cls for cls in below(_Aspect) if hasattr(cls, "RECORD_SCHEMA")}


def _not_json(value: Any) -> str:
    raise AssertionError(f"not plain JSON: {value!r}")


def _allowed(entity_type: str, aspect_name: str) -> list[str]:
    info = KEY_ASPECTS[entity_type].ASPECT_INFO
    if aspect_name in info["entityAspects"] or aspect_name == KEY_ASPECTS[entity_type].ASPECT_NAME:
        return []
    return [f"{entity_type} has no aspect {aspect_name}"]


def _timeseries(cls: type[_Aspect], aspect_name: str, value: Any, timestamp_ms: int | None) -> list[str]:
    is_timeseries = cls.ASPECT_TYPE == "timeseries"
    if is_timeseries != (timestamp_ms is not None):
        return [f"{aspect_name}: a timeseries aspect has a timestamp, no other has"]
    if not is_timeseries:
        return []
    if timestamp_ms != value.get("timestampMillis"):
        return [f"{aspect_name}: timestamp {timestamp_ms} is not its timestampMillis"]
    return [] if EARLIEST_MS < timestamp_ms < LATEST_MS else [f"{timestamp_ms} is no time in milliseconds"]


def _urn_problems(urn: str, entity_type: str | None) -> list[str]:
    try:
        parsed = Urn.from_string(urn)
    except InvalidUrnError as error:
        return [f"{urn}: {error}"]
    problems = [] if entity_type in (None, parsed.entity_type) else [f"{urn} is no {entity_type}"]
    if urn != urn.strip() or "␟" in urn:
        problems.append(f"{urn!r} has forbidden characters")
    if str(parsed) != urn:
        problems.append(f"{urn} is written {parsed} by DataHub")
    if parsed.entity_type != "schemaField" and java_encoded_length(urn) > MAX_ENCODED:
        problems.append(f"{urn} is too long")
    return problems


def java_encoded_length(text: str) -> int:
    """As java.net.URLEncoder counts: quote_plus, but ``~`` is encoded and ``*`` is not."""
    return len(quote_plus(text, safe="*").replace("~", "%7E"))


def _urns_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key != "customProperties":
                yield from _urns_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _urns_in(each)
    elif isinstance(value, str) and value.startswith("urn:li:"):
        yield value


def _schema(value: dict[str, Any]) -> list[str]:
    paths = [field.get("fieldPath") for field in value.get("fields", [])]
    problems = [] if len(paths) == len(set(paths)) else ["schemaMetadata repeats a field path"]
    return problems if all(paths) else [*problems, "schemaMetadata has an empty field path"]


def _unknown_keys(schema: Any, value: Any, where: str) -> list[str]:
    """Keys that the record does not have; GMS: "unrecognized field found but not allowed"."""
    if isinstance(schema, UnionSchema):
        return _unknown_in_union(schema, value, where)
    if isinstance(schema, ArraySchema) and isinstance(value, list):
        return [problem for each in value for problem in _unknown_keys(schema.items, each, f"{where}[]")]
    if isinstance(schema, MapSchema) and isinstance(value, dict):
        return [
            problem
            for each in value.values()
            for problem in _unknown_keys(schema.values, each, f"{where}{{}}")
        ]
    if isinstance(schema, RecordSchema) and isinstance(value, dict):
        fields = {field.name: field.type for field in schema.fields}
        unknown = [f"{where}: unknown key {key!r}" for key in value if key not in fields]
        known = (
            _unknown_keys(fields[key], each, f"{where}.{key}") for key, each in value.items() if key in fields
        )
        return [*unknown, *(problem for each in known for problem in each)]
    return []


def _unknown_in_union(schema: UnionSchema, value: Any, where: str) -> list[str]:
    members = [each for each in schema.schemas if each.type != "null"]
    if value is None:
        return []
    if len(members) == 1:
        return _unknown_keys(members[0], value, where)
    if not isinstance(value, dict) or len(value) != 1:
        return [f"{where}: a union of several types names the one it holds"]
    name, inner = next(iter(value.items()))
    by_name = {getattr(each, "fullname", each.type): each for each in members}
    avro = name.replace("com.linkedin.", "com.linkedin.pegasus2avro.", 1)
    if avro not in by_name:
        return [f"{where}: the union has no member {name}"]
    return _unknown_keys(by_name[avro], inner, f"{where}.{name}")
