"""The containers of a dataset are those that the platform's connector makes."""

from __future__ import annotations

import pytest
from datahub.emitter.mcp_builder import (
    BigQueryDatasetKey,
    CatalogKey,
    ContainerKey,
    DatabaseKey,
    NamespaceKey,
    ProjectIdKey,
    SchemaKey,
    UnitySchemaKey,
)

from openlineage_bridge_datahub import DataHubTranslator


class KeyspaceKey(ContainerKey):
    """As the Cassandra connector has it, whose module needs Cassandra's driver."""

    keyspace: str


CATALOG = {"framework": "hive", "type": "hive", "name": "c"}
OLD = {"env": "PROD", "backcompat_env_as_instance": True}

# Namespace, name, and the connector's own keys, from the outside in.
KEYED = [
    (
        "postgres://h",
        "Db.public.t",
        [
            DatabaseKey(platform="postgres", database="Db", **OLD),
            SchemaKey(platform="postgres", database="Db", schema="public", **OLD),
        ],
    ),
    (
        "snowflake://o-a",
        "ANALYTICS.PUBLIC.T",
        [
            DatabaseKey(platform="snowflake", database="analytics", **OLD),
            SchemaKey(platform="snowflake", database="analytics", schema="public", **OLD),
        ],
    ),
    ("mysql://h", "shop.t", [DatabaseKey(platform="mysql", database="shop", **OLD)]),
    ("arn:aws:glue:x:1", "table/sales/t", [DatabaseKey(platform="glue", database="sales", **OLD)]),
    (
        "bigquery",
        "p.ds.t",
        [
            ProjectIdKey(platform="bigquery", project_id="p", **OLD),
            BigQueryDatasetKey(platform="bigquery", project_id="p", dataset_id="ds", **OLD),
        ],
    ),
    (
        "unitycatalog://h",
        "main.sales.t",
        [
            CatalogKey(platform="databricks", catalog="main", env="PROD"),
            UnitySchemaKey(platform="databricks", catalog="main", unity_schema="sales", env="PROD"),
        ],
    ),
    ("iceberg://c", "a.b.t", [NamespaceKey(platform="iceberg", namespace="a.b", env="PROD")]),
    ("mongodb://h", "shop.t", [DatabaseKey(platform="mongodb", database="shop", env="PROD")]),
    ("cassandra://h", "ks.t", [KeyspaceKey(platform="cassandra", keyspace="ks", env="PROD")]),
]


@pytest.mark.parametrize(("namespace", "name", "keys"), KEYED)
def test_containers_have_the_connectors_urns(states, translator, accepted, namespace, name, keys):
    """Database and schema are the entities that the connector made, not doubles of them."""
    actual = accepted(translator.dataset(states.dataset(namespace, name, catalog=CATALOG)))

    urns = [key.as_urn() for key in keys]
    assert {"container": urns[-1]} == actual.by_name("dataset")["container"]
    assert [{"id": urn, "urn": urn} for urn in urns] == actual.by_name("dataset")["browsePathsV2"]["path"]
    assert set(urns) == {each.urn for each in actual if each.entity_type == "container"}
    assert [{"container": outer} for outer in urns[:-1]] == [
        each.value for each in actual if each.entity_type == "container" and each.name == "container"
    ]


def test_an_instance_stands_in_key_and_path(states, accepted):
    """With an instance the connector's key holds it, and the browse path begins with it."""
    translator = DataHubTranslator.from_options(
        {"namespaces": [{"match": "postgres://h", "platform_instance": "eu"}]}
    )
    key = SchemaKey(platform="postgres", instance="eu", database="d", schema="s", **OLD)

    actual = accepted(translator.dataset(states.dataset("postgres://h", "d.s.t", catalog=CATALOG)))

    assert {"container": key.as_urn()} == actual.by_name("dataset")["container"]
    assert actual.by_name("dataset")["browsePathsV2"]["path"][0]["id"] == (
        "urn:li:dataPlatformInstance:(urn:li:dataPlatform:postgres,eu)"
    )


def test_a_stated_hierarchy_stands_where_no_connector_is_known(states, translator, accepted):
    """The levels above the dataset become containers with the types that the facet states."""
    levels = [("DATABASE", "d"), ("SUB_SCHEMA", "x"), ("TABLE", "t")]
    hierarchy = {"hierarchy": [{"type": kind, "name": name} for kind, name in levels]}

    actual = accepted(translator.dataset(states.dataset("crate://h", "d.x.t", hierarchy=hierarchy)))

    assert [("d", ["Database"]), ("x", ["Sub schema"])] == [
        (properties.value["name"], kinds.value["typeNames"])
        for properties, kinds in zip(
            [each for each in actual if each.name == "containerProperties"],
            [each for each in actual if each.name == "subTypes"],
            strict=True,
        )
    ]


def test_nobody_asked_for_containers(states, translator, accepted):
    """Without a facet that speaks of levels, and where they are not wanted, there are none."""
    plain = states.dataset("postgres://h", "d.s.t")
    stated = states.dataset("postgres://h", "d.s.t", catalog=CATALOG)
    unwanted = DataHubTranslator.from_options({"datasets": {"containers": "never"}})

    assert "container" not in accepted(translator.dataset(plain)).by_name()
    assert "container" not in accepted(unwanted.dataset(stated)).by_name()


@pytest.mark.parametrize("broken", [None, 1, [1], {"hierarchy": [{"type": 1, "name": "x"}, {"name": "t"}]}])
def test_a_malformed_hierarchy_is_none(states, translator, accepted, broken):
    """Whatever stands in the facet, the dataset is translated."""
    facet = broken if isinstance(broken, dict) else {"hierarchy": broken}

    actual = accepted(translator.dataset(states.dataset("crate://h", "d.x.t", hierarchy=facet)))

    assert "container" not in actual.by_name()
