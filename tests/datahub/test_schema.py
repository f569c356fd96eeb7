"""The schema facet becomes the fields that the platform's connector would write."""

from __future__ import annotations

import pytest
from datahub.utilities.hive_schema_to_avro import get_schema_fields_for_hive_column
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge_datahub.names import keep, lower
from openlineage_bridge_datahub.schema import data_type, fields_of, paths_by_name, schema_metadata


def paths(*fields):
    return [field.path for field in fields_of({"fields": list(fields)}, keep)]


TYPES = [
    ("BIGINT", "NumberType"),
    ("numeric(10, 2)", "NumberType"),
    ("double precision", "NumberType"),
    ("Nullable(Int64)", "NumberType"),
    ("character varying(255)", "StringType"),
    ("uuid", "StringType"),
    ("timestamp with time zone", "TimeType"),
    ("TIMESTAMP_NTZ", "TimeType"),
    ("date", "DateType"),
    ("boolean", "BooleanType"),
    ("bytea", "BytesType"),
    ("array<string>", "ArrayType"),
    ("text[]", "ArrayType"),
    ("map<string,int>", "MapType"),
    ("struct<a:int>", "RecordType"),
    ("VARIANT", "RecordType"),
    ("no such type", "NullType"),
    ("", "NullType"),
]


@pytest.mark.parametrize(("native", "expected"), TYPES)
def test_type(native, expected):
    """The first word of a native type decides, whatever its case and parameters."""
    assert data_type(native) == {"type": {f"com.linkedin.schema.{expected}": {}}}


def test_plain_columns_keep_their_names():
    """A flat schema has plain field paths, as SQL connectors write them."""
    assert paths({"name": "id", "type": "int"}, {"name": "x.y", "type": "int"}) == ["id", "x.y"]


HIVE_TYPES = [
    "struct<city:string,geo:struct<lat:double>>",
    "array<bigint>",
    "array<struct<city:string>>",
    "map<string,double>",
    "map<string,struct<n:decimal(10,2)>>",
    "array<array<string>>",
    "struct<d:date,t:tinyint,b:boolean,v:varchar(3)>",
]


def from_hive(name, native):
    """The facet's entry for a column that Hive declares so."""
    head, _, inner = native.partition("<")
    inner = inner.rpartition(">")[0]
    element = inner.partition(",")[2] if head == "map" else inner
    entry = {"name": name, "type": native}
    if head == "struct":
        entry |= {"type": "struct", "fields": [from_hive(*each.split(":", 1)) for each in _members(inner)]}
    elif element.startswith("struct<"):
        entry["fields"] = from_hive("x", element)["fields"]
    return entry


def _members(text):
    members, depth, start = [], 0, 0
    for position, char in enumerate(text):
        depth += (char in "<(") - (char in ">)")
        if char == "," and depth == 0:
            members.append(text[start:position])
            start = position + 1
    return [*members, text[start:]]


@pytest.mark.parametrize("native", HIVE_TYPES)
@pytest.mark.filterwarnings("ignore:Logical type")
def test_nested_columns_have_the_paths_of_the_hive_connector(native):
    """Nested columns and those that name their element type have version 2 paths, exactly the connector's."""
    expected = [
        field.fieldPath for field in get_schema_fields_for_hive_column("c", native, default_nullable=True)
    ]

    assert expected == paths(from_hive("c", native))


def test_the_aspect(states, oracle):
    """Descriptions and tags stand with their column; the platform is the URN's."""
    facet = {"fields": [{"name": "ID", "type": "int", "description": "key"}, {"name": "B"}]}

    actual = schema_metadata(
        facet, name="t", platform="snowflake", fold=lower, tags={"ID": ["urn:li:tag:pii"]}
    )

    assert actual["platform"] == "urn:li:dataPlatform:snowflake"
    assert actual["fields"] == [
        {
            "fieldPath": "id",
            "nullable": True,
            "type": {"type": {"com.linkedin.schema.NumberType": {}}},
            "nativeDataType": "int",
            "description": "key",
            "globalTags": {"tags": [{"tag": "urn:li:tag:pii"}]},
        },
        {"fieldPath": "b", "nullable": True, "type": data_type("unknown"), "nativeDataType": "unknown"},
    ]


field = st.recursive(
    st.fixed_dictionaries(
        {"name": st.text(max_size=4)}, optional={"type": st.sampled_from(HIVE_TYPES) | st.text(max_size=6)}
    ),
    lambda inner: st.fixed_dictionaries({"name": st.text(max_size=4), "fields": st.lists(inner, max_size=3)}),
    max_leaves=8,
)


@given(
    facet=st.fixed_dictionaries({"fields": st.lists(field, max_size=5)})
    | st.just({})
    | st.just({"fields": 3})
)
def test_whatever_the_facet_datahub_accepts_the_schema(oracle, facet):
    """Field paths are unique and never empty, types known."""
    actual = schema_metadata(facet, name="t", platform="hive", fold=lower, tags={})

    if actual is not None:
        urn = "urn:li:dataset:(urn:li:dataPlatform:hive,t,PROD)"
        assert oracle.judge("dataset", urn, "schemaMetadata", actual) == []


# --- what arrays and maps hold --------------------------------------------------------------------------------------

SKU = {"name": "sku", "type": "string"}
HELD = [
    (
        {
            "name": "items",
            "type": "array",
            "fields": [{"name": "_element", "type": "struct", "fields": [SKU]}],
        },
        {
            "items": "[version=2.0].[type=struct].[type=array].[type=struct].items",
            "items._element": "[version=2.0].[type=struct].[type=array].[type=struct].items",
            "items._element.sku": "[version=2.0].[type=struct].[type=array].[type=struct].items.[type=string].sku",
            "items.sku": "[version=2.0].[type=struct].[type=array].[type=struct].items.[type=string].sku",
        },
    ),
    (
        {"name": "tags", "type": "array", "fields": [{"name": "_element", "type": "string"}]},
        {
            "tags": "[version=2.0].[type=struct].[type=array].[type=string].tags",
            "tags._element": "[version=2.0].[type=struct].[type=array].[type=string].tags",
        },
    ),
    (
        {
            "name": "prices",
            "type": "map",
            "fields": [
                {"name": "key", "type": "string"},
                {"name": "value", "type": "struct", "fields": [SKU]},
            ],
        },
        {
            "prices": "[version=2.0].[type=struct].[type=map].[type=struct].prices",
            "prices.value": "[version=2.0].[type=struct].[type=map].[type=struct].prices",
            "prices.value.sku": "[version=2.0].[type=struct].[type=map].[type=struct].prices.[type=string].sku",
            "prices.sku": "[version=2.0].[type=struct].[type=map].[type=struct].prices.[type=string].sku",
        },
    ),
    (
        {
            "name": "grid",
            "type": "array",
            "fields": [
                {
                    "name": "_element",
                    "type": "array",
                    "fields": [{"name": "_element", "type": "struct", "fields": [SKU]}],
                }
            ],
        },
        {
            "grid": "[version=2.0].[type=struct].[type=array].[type=array].[type=struct].grid",
            "grid.sku": "[version=2.0].[type=struct].[type=array].[type=array].[type=struct].grid.[type=string].sku",
        },
    ),
    (
        {"name": "value", "type": "struct", "fields": [{"name": "element", "type": "int"}]},
        {
            "value": "[version=2.0].[type=struct].[type=struct].value",
            "value.element": "[version=2.0].[type=struct].[type=struct].value.[type=int].element",
        },
    ),
]


@pytest.mark.parametrize(("field", "expected"), HELD)
def test_what_arrays_and_maps_hold_is_no_field_of_its_own(field, expected):
    """Spark and Flink list it as a field; DataHub's path has its type, and column lineage may name it or not."""
    actual = paths_by_name({"fields": [field]}, keep)

    assert expected == {name: actual.get(name) for name in expected}


nested_fields = st.recursive(
    st.builds(
        lambda name, kind: {"name": name, "type": kind},
        st.sampled_from(["a", "b", "value", "element", "_element", "a.b"]),
        st.sampled_from(
            ["string", "array<int>", "map<string,int>", "struct<x:int>", "array", "map", "struct", ""]
        ),
    ),
    lambda inner: st.builds(
        lambda name, kind, fields: {"name": name, "type": kind, "fields": fields},
        st.sampled_from(["a", "b", "value", "_element"]),
        st.sampled_from(["array", "map", "struct", "string"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=8,
)


@given(st.lists(nested_fields, max_size=4))
def test_column_lineage_and_schema_agree_on_every_path(fields):
    """Whatever the nesting: a column that the schema has is called in lineage as it is called there."""
    facet = {"fields": fields}
    schema = schema_metadata(facet, name="t", platform="hive", fold=keep, tags={})
    paths = [field["fieldPath"] for field in schema["fields"]] if schema else []

    assert len(paths) == len(set(paths))
    assert set(paths_by_name(facet, keep).values()) <= set(paths)
