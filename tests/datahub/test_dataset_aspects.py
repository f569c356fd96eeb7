"""What a dataset becomes."""

from __future__ import annotations

import pytest

from openlineage_bridge_datahub import DataHubTranslator
from openlineage_bridge_datahub.platform_info import DESCRIBED, KNOWN_TO_DATAHUB, platform_aspects
from openlineage_bridge_datahub.platforms import PLATFORMS

ORDERS = "urn:li:dataset:(urn:li:dataPlatform:snowflake,a.p.orders,PROD)"
STATS = "urn:li:dataset:(urn:li:dataPlatform:postgres,d.s.stats,PROD)"
TASK = {"jobType": {"integration": "PREFECT", "jobType": "TASK", "processingType": "BATCH"}}
FLOW = {"jobType": {"integration": "PREFECT", "jobType": "FLOW", "processingType": "BATCH"}}


def test_what_the_dataset_facets_say(states, translator, accepted):
    """Schema, description, kind, owners and tags of a dataset; never its status."""
    dataset = states.dataset(
        "postgres://h",
        "d.s.t",
        schema={"fields": [{"name": "id", "type": "int"}]},
        documentation={"description": "about"},
        datasetType={"datasetType": "VIEW", "subType": "MATERIALIZED"},
        ownership={"owners": [{"name": "al", "type": "Data Steward"}]},
        tags={"tags": [{"key": "gold", "value": ""}, {"key": "pii", "value": "true", "field": "id"}]},
        storage={"storageLayer": "iceberg"},
        version={"datasetVersion": "7"},
    )

    actual = accepted(translator.dataset(dataset)).by_name()

    assert actual["datasetProperties"] == {
        "name": "t",
        "description": "about",
        "customProperties": {
            "openlineage.namespace": "postgres://h",
            "openlineage.name": "d.s.t",
            "storage.storageLayer": "iceberg",
            "version.datasetVersion": "7",
        },
    }
    assert actual["subTypes"] == {"typeNames": ["View", "MATERIALIZED"]}
    assert actual["ownership"] == {"owners": [{"owner": "urn:li:corpuser:al", "type": "DATA_STEWARD"}]}
    assert actual["globalTags"] == {"tags": [{"tag": "urn:li:tag:gold"}]}
    assert actual["schemaMetadata"]["fields"][0]["globalTags"] == {"tags": [{"tag": "urn:li:tag:pii"}]}
    assert actual["datasetKey"] == {
        "platform": "urn:li:dataPlatform:postgres",
        "name": "d.s.t",
        "origin": "PROD",
    }
    assert "status" not in actual


def test_a_connectors_schema_can_be_left_alone(states, accepted):
    """`never` sends neither schema nor properties, and curated metadata only where it is wanted."""
    translator = DataHubTranslator.from_options(
        {"datasets": {"schema": "never", "properties": "never", "tags_and_owners": False}}
    )
    dataset = states.dataset(
        "postgres://h",
        "d.s.t",
        schema={"fields": [{"name": "id"}]},
        tags={"tags": [{"key": "gold"}]},
    )

    assert {each.name for each in accepted(translator.dataset(dataset))} == {"datasetKey"}


def test_lineage_that_no_job_stated_stands_on_the_dataset(states, translator, accepted):
    """A DatasetEvent's lineage facet becomes upstreamLineage, columns included."""
    source = {"namespace": "snowflake://a", "name": "A.P.ORDERS", "type": "DATASET"}
    lineage = {"inputs": [source], "fields": {"n": {"inputs": [{**source, "field": "ID"}]}}}
    expected = {
        "upstreams": [{"dataset": ORDERS, "type": "TRANSFORMED"}],
        "fineGrainedLineages": [
            {
                "upstreamType": "FIELD_SET",
                "upstreams": [f"urn:li:schemaField:({ORDERS},id)"],
                "downstreamType": "FIELD",
                "downstreams": [f"urn:li:schemaField:({STATS},n)"],
            }
        ],
    }
    column_lineage = {"fields": {"n": {"inputFields": [{**source, "field": "ID"}]}}}

    explicit = accepted(translator.dataset(states.dataset("postgres://h", "d.s.stats", lineage=lineage)))
    columns = accepted(
        translator.dataset(states.dataset("postgres://h", "d.s.stats", columnLineage=column_lineage))
    )

    assert expected == explicit.by_name()["upstreamLineage"] == columns.by_name()["upstreamLineage"]


def test_tags_may_name_glossary_terms(states, translator, accepted):
    """A tag with the key `term`, or with a term's URN, is a glossary term; of a column, one of the column."""
    dataset = states.dataset(
        "postgres://h",
        "d.s.t",
        schema={"fields": [{"name": "email", "type": "text"}]},
        tags={
            "tags": [
                {"key": "glossaryTerm", "value": "Customer"},
                {"key": "about", "value": "urn:li:glossaryTerm:Sales.Order"},
                {"key": "term", "value": "Contact", "field": "email"},
                {"key": "tier", "value": "gold"},
            ]
        },
    )

    actual = accepted(translator.dataset(dataset)).by_name()

    assert ["urn:li:glossaryTerm:Customer", "urn:li:glossaryTerm:Sales.Order"] == [
        each["urn"] for each in actual["glossaryTerms"]["terms"]
    ]
    assert {"tags": [{"tag": "urn:li:tag:tier:gold"}]} == actual["globalTags"]
    [field] = actual["schemaMetadata"]["fields"]
    assert [{"urn": "urn:li:glossaryTerm:Contact"}] == field["glossaryTerms"]["terms"]


def test_siblings_are_told_on_request(states, accepted):
    """The table in the catalog is the primary; the path of its data is its sibling."""
    translator = DataHubTranslator.from_options({"datasets": {"siblings": True}})
    table = {"namespace": "hive://m:9083", "name": "sales.orders", "type": "TABLE"}
    dataset = states.dataset("s3://b", "w/orders", symlinks={"identifiers": [table]})
    hive = "urn:li:dataset:(urn:li:dataPlatform:hive,sales.orders,PROD)"
    path = "urn:li:dataset:(urn:li:dataPlatform:s3,b/w/orders,PROD)"

    actual = accepted(translator.dataset(dataset))

    assert {
        hive: {"siblings": [path], "primary": True},
        path: {"siblings": [hive], "primary": False},
    } == {each.urn: each.value for each in actual if each.name == "siblings"}


def test_siblings_are_not_told_unasked(states, translator, accepted):
    """By default the catalog's name is the dataset's only one."""
    table = {"namespace": "hive://m:9083", "name": "sales.orders", "type": "TABLE"}
    dataset = states.dataset("s3://b", "w/orders", symlinks={"identifiers": [table]})

    assert "siblings" not in accepted(translator.dataset(dataset)).by_name()


def test_a_dataset_source_that_is_a_web_address_is_a_link(states, translator, accepted):
    """`dataSource.uri` often is no address at all; one that is becomes the external URL."""
    linked = states.dataset("postgres://h", "d.s.t", dataSource={"uri": "https://db.acme.com/d"})
    other = states.dataset("postgres://h", "d.s.t", dataSource={"uri": "postgres://h"})

    assert accepted(translator.dataset(linked)).by_name()["datasetProperties"]["externalUrl"] == (
        "https://db.acme.com/d"
    )
    assert "externalUrl" not in accepted(translator.dataset(other)).by_name()["datasetProperties"]


@pytest.mark.parametrize("platform", [*DESCRIBED, "my-team", "lakefs"])
def test_every_description_of_a_platform_is_valid(accepted, platform):
    """Each kind is one that DataHub knows."""
    assert len(accepted(platform_aspects(platform))) == 1


def test_a_platform_that_datahub_lacks_is_described(states, translator, accepted):
    """DataHub's server knows Postgres by itself; of DuckDB it is told name and kind."""
    duckdb = accepted(translator.dataset(states.dataset("duckdb:///t.duckdb", "t.main.x")))
    postgres = accepted(translator.dataset(states.dataset("postgres://h", "d.s.t")))

    assert {
        "name": "duckdb",
        "displayName": "DuckDB",
        "type": "RELATIONAL_DB",
        "datasetNameDelimiter": ".",
    } == duckdb.by_name("dataPlatform")["dataPlatformInfo"]
    assert {} == postgres.by_name("dataPlatform")


def test_no_platform_of_datahubs_own_is_described():
    """Its logo stays: neither what the server begins with nor what a connector brings along is written."""
    with_connector = {name for name, platform in PLATFORMS.items() if platform.follows} - set(DESCRIBED)

    assert not KNOWN_TO_DATAHUB & set(DESCRIBED)
    assert [] == [each for name in KNOWN_TO_DATAHUB | with_connector for each in platform_aspects(name)]
