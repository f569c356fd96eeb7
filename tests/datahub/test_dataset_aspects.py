"""What a dataset becomes."""

from __future__ import annotations

from openlineage_bridge_datahub import DataHubTranslator

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
    translator = DataHubTranslator.from_options({"datasets": {"schema": "never", "tags_and_owners": False}})
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
