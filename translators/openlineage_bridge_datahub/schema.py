"""The ``schema`` facet as DataHub's schemaMetadata: types, nested field paths, descriptions (SchemaDatasetFacet 1-2-0)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import attrs

from openlineage_bridge_datahub.curated import tag_associations, term_associations
from openlineage_bridge_datahub.encoding import platform_urn
from openlineage_bridge_datahub.facets import objects
from openlineage_bridge_datahub.names import Fold

# --- types ----------------------------------------------------------------------------------------------------------


def _type(name: str) -> dict[str, Any]:
    return {"type": {f"com.linkedin.schema.{name}": {}}}


_NAMES = {
    "BooleanType": "bool boolean bit",
    "BytesType": "binary blob bytea bytes image longblob mediumblob raw tinyblob varbinary geography_binary",
    "DateType": "date",
    "EnumType": "enum set",
    "FixedType": "fixed",
    "MapType": "map object hstore",
    "ArrayType": "array list repeated super_array",
    "RecordType": "struct record row tuple nested variant json jsonb super",
    "TimeType": (
        "time timetz timestamp timestamptz timestamp_ltz timestamp_ntz timestamp_tz datetime datetime2 datetimeoffset "
        "smalldatetime interval year"
    ),
    "NumberType": (
        "bigdecimal bigint bignumeric bigserial byte byteint decimal double float float16 float32 float4 float64 float8 "
        "half hugeint int int128 int16 int2 int256 int32 int4 int64 int8 integer long mediumint money number numeric "
        "real serial short smallint smallmoney smallserial tinyint ubigint uhugeint uint uint128 uint16 uint256 uint32 "
        "uint64 uint8 uinteger usmallint utinyint"
    ),
    "StringType": (
        "bpchar char character citext clob fixedstring guid longtext lowcardinality mediumtext name nchar nclob ntext "
        "nvarchar nvarchar2 rowid str string sysname text tinytext uniqueidentifier utf8 uuid varchar varchar2 xml inet"
    ),
    "NullType": "null void none",
}
TYPES = {sql: _type(name) for name, listed in _NAMES.items() for sql in listed.split()}
"""SQL and OpenLineage type names in lower case → ``SchemaFieldDataType``. The values are shared: never change one."""

UNKNOWN_TYPE = _type("NullType")

# `varchar(255)`, `array<string>`, `timestamp with time zone`, `Nullable(Int64)`: the word in front decides.
_HEAD = re.compile(r"\s*(?:nullable\s*\(\s*)?([a-z_][a-z0-9_]*)")


@lru_cache(maxsize=4096)
def data_type(native: str) -> dict[str, Any]:
    """The DataHub type of a native one, by its first word; NullType for one that is not known."""
    if native.rstrip().endswith("[]"):
        return TYPES["array"]
    return TYPES.get(_word(native), UNKNOWN_TYPE)


def _word(native: str) -> str:
    found = _HEAD.match(native.lower())
    return found[1] if found else ""


# Words of version 2 field paths, as the Hive connector writes them (utilities/hive_schema_to_avro.py); else `string`.
_AVRO_NAMES = {
    "int": "int integer tinyint smallint int2 int4 int8 int16 int32 short byte mediumint date timestamp datetime",
    "long": "bigint long int64 bigserial",
    "float": "float real float4 float32",
    "double": "double float8 float64",
    "bytes": "decimal numeric number bignumeric",
    "boolean": "boolean bool",
    "struct": "struct record row",
    "array": "array list repeated",
    "map": "map",
}
_AVRO = {sql: avro for avro, listed in _AVRO_NAMES.items() for sql in listed.split()}
_COMPLEX = ("array", "map", "struct")


# --- field paths ----------------------------------------------------------------------------------------------------


@attrs.frozen
class Field:
    """A column, or a field nested in one.

    Args:
        path: DataHub's field path: the name for a plain column, version 2 for a nested one and those inside it.
        dotted: The names from the outside in, joined by dots, as column lineage speaks of it.
        source: The facet's own entry.
    """

    path: str
    dotted: str
    source: Mapping[str, Any]


_V2_ROOT = "[version=2.0].[type=struct]"


def fields_of(facet: Mapping[str, Any], fold: Fold) -> Iterator[Field]:
    """All fields of a ``schema`` facet, depth first, paths unique: GMS refuses a schema that repeats one."""
    seen: set[str] = set()
    for source in objects(facet.get("fields")):
        for field in _walk(source, "", "", fold):
            if field.path not in seen:
                seen.add(field.path)
                yield field


def _walk(source: Mapping[str, Any], above: str, dotted: str, fold: Fold) -> Iterator[Field]:
    name = source.get("name")
    if not isinstance(name, str) or not name.strip():
        return
    own = f"{dotted}.{name}" if dotted else name
    if not above and not objects(source.get("fields")) and not is_complex(native_type(source)):
        yield Field(fold(name), own, source)
        return
    kind, inside, inner = _unwrapped(source)
    path = f"{above or _V2_ROOT}.{kind}.{fold(name)}"
    yield Field(path, own, source)
    for each in inner:
        yield from _walk(each, path, f"{own}{inside}", fold)


ELEMENTS = {"array": ("_element", "element"), "map": ("value",)}
"""What producers call that which an array or a map holds, where they list it as a field (Spark, Flink)."""


def _unwrapped(source: Mapping[str, Any]) -> tuple[str, str, list[dict[str, Any]]]:
    """The type in a version 2 path, the way to what an array or map holds, and the fields of that.

    An array of structs is ``[type=array].[type=struct]``, with the struct's fields directly below.
    """
    native, inner = native_type(source), objects(source.get("fields"))
    word = _AVRO.get(_word(native), "string")
    for held in inner:
        if held.get("name") in ELEMENTS.get(word, ()):
            kind, inside, fields = _unwrapped(held)
            return f"[type={word}].{kind}", f".{held['name']}{inside}", fields
    return _v2_type(native, has_fields=bool(inner)), "", inner


def is_complex(native: str) -> bool:
    """Whether a type says what it is made of, as Hive, Spark and BigQuery write it: ``array<string>``."""
    return "<" in native and _AVRO.get(_word(native)) in _COMPLEX


def _v2_type(native: str, *, has_fields: bool = False) -> str:
    """``[type=array].[type=string]`` of ``array<string>``: arrays and maps name what they hold."""
    word = _AVRO.get(_word(native), "string")
    if word in ("array", "map"):
        return f"[type={word}].{_v2_type('struct' if has_fields else _element(native))}"
    return "[type=struct]" if has_fields else f"[type={word}]"


def _element(native: str) -> str:
    """What stands between the angle brackets; of a map the value."""
    inner = native.partition("<")[2].rpartition(">")[0]
    key, comma, value = inner.partition(",")
    return value if comma and "<" not in key and _AVRO.get(_word(native)) == "map" else inner


def native_type(source: Mapping[str, Any]) -> str:
    """The type as the producer wrote it; ``struct`` or ``unknown`` where it wrote none."""
    stated = source.get("type")
    if isinstance(stated, str) and stated.strip():
        return stated
    return "struct" if source.get("fields") else "unknown"


def paths_by_name(facet: Mapping[str, Any], fold: Fold) -> dict[str, str]:
    """From a column as column lineage names it to its path in the schema; what arrays hold may be left out of it."""
    found: dict[str, str] = {}
    for field in fields_of(facet, fold):
        found.setdefault(field.dotted, field.path)
        found.setdefault(_WRAPPERS.sub("", field.dotted), field.path)
        if inside := _unwrapped(field.source)[1]:
            found.setdefault(f"{field.dotted}{inside}", field.path)
    return found


_WRAPPERS = re.compile(r"\.(?:_element|element|value)(?=\.)")


# --- the aspect -----------------------------------------------------------------------------------------------------


def schema_metadata(
    facet: Mapping[str, Any],
    *,
    name: str,
    platform: str,
    fold: Fold,
    tags: Mapping[str, list[str]],
    terms: Mapping[str, list[str]] | None = None,
) -> dict[str, Any] | None:
    """``schemaMetadata``, or None where the facet has no field.

    Args:
        facet: The ``schema`` facet.
        name: Of the dataset.
        platform: Of the URN: a Hive table on S3 is ``hive``.
        fold: What the platform's connector does with the case of a column.
        tags: Tag URNs by column.
        terms: Glossary term URNs by column.
    """
    fields = _columns(facet, fold, tags, terms or {})
    if not fields:
        return None
    return {
        "schemaName": name,
        "platform": platform_urn(platform),
        "version": 0,
        "hash": "",
        "platformSchema": {"com.linkedin.schema.OtherSchema": {"rawSchema": ""}},
        "fields": fields,
    }


def _columns(
    facet: Mapping[str, Any], fold: Fold, tags: Mapping[str, list[str]], terms: Mapping[str, list[str]]
) -> list[dict[str, Any]]:
    """The fields of the aspect. Plain columns, nearly all of them, take the short way."""
    columns: dict[str, dict[str, Any]] = {}
    curated = bool(tags or terms)
    for source in objects(facet.get("fields")):
        try:
            plain = (
                None
                if curated or "fields" in source
                else _plain_column(source.get("name"), source.get("type"), source.get("description"), fold)
            )
        except TypeError:  # a list or an object where a text belongs
            plain = None
        if plain is not None:
            columns.setdefault(plain["fieldPath"], plain)
        else:
            for field in _walk(source, "", "", fold):
                columns.setdefault(field.path, _field(field, tags.get(field.dotted), terms.get(field.dotted)))
    return list(columns.values())


@lru_cache(maxsize=16_384)
def _plain_column(name: Any, native: Any, description: Any, fold: Fold) -> dict[str, Any] | None:
    """The field of a column of a simple type; None for any other. The same ones come again and again, in many tables."""
    if not (isinstance(name, str) and name.strip() and isinstance(native, str) and native.strip()):
        return None
    return None if is_complex(native) else _column(fold(name), native, description)


def _column(path: str, native: str, description: Any) -> dict[str, Any]:
    value = {"fieldPath": path, "nullable": True, "type": data_type(native), "nativeDataType": native}
    return {**value, "description": description} if isinstance(description, str) and description else value


def _field(field: Field, tags: list[str] | None, terms: list[str] | None) -> dict[str, Any]:
    column = _column(field.path, native_type(field.source), field.source.get("description"))
    if tags:
        column = {**column, "globalTags": tag_associations(tags)}
    return {**column, "glossaryTerms": term_associations(terms)} if terms else column
