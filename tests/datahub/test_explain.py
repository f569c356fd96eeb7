"""`explain` tells which URN a dataset gets, by which rule, step by step."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from openlineage_bridge.cli.explain import command


@pytest.fixture
def explain(tmp_path):
    """The command with this configuration; what it says."""

    def run(*arguments, namespaces=()):
        config = tmp_path / "openlineage-bridge.yml"
        config.write_text(json.dumps({"translator": "datahub", "datahub": {"namespaces": list(namespaces)}}))
        done = CliRunner().invoke(command, [*arguments, "--config", str(config)])
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_every_step_is_told(explain):
    """The URN, the connector whose rule it follows, and what was done to the name."""
    rules = [{"match": "snowflake://acme*", "platform_instance": "eu", "env": "DEV"}]

    said = explain("snowflake://acme-eu", 'ANALYTICS.PUBLIC."Orders"', namespaces=rules)

    assert said.splitlines() == [
        "urn:li:dataset:(urn:li:dataPlatform:snowflake,eu.analytics.public.orders,DEV)",
        "  rule: snowflake (snowflake/snowflake_utils.py)",
        "  1. Namespace 'snowflake://acme-eu' is on DataHub's platform 'snowflake'.",
        "  2. The rule for 'snowflake://acme*' holds there.",
        "  3. The name follows datahub/ingestion/source/snowflake/snowflake_utils.py.",
        "  4. Quotes around an identifier are dropped.",
        "  5. Case and catalog prefix as the connector writes them: 'analytics.public.orders'.",
        "  6. The platform instance 'eu' is prefixed.",
        "  7. The environment is DEV.",
    ]


def test_a_table_wins_over_its_path(explain):
    """What an event would say in its symlinks facet can be tried."""
    glue = ("arn:aws:glue:eu-west-1:1", "table/sales/orders")

    said = json.loads(explain("s3://b", "sales/orders", "--table", *glue, "--format", "json"))

    assert "urn:li:dataset:(urn:li:dataPlatform:glue,sales.orders,PROD)" == said["urn"]
    assert "Its TABLE symlink names it in glue, which wins over the path." in said["steps"]


def test_where_there_is_no_urn_the_reason_is_told(explain):
    """Too long for DataHub: the last step says so."""
    said = explain("s3://b", "x" * 600)

    assert said.startswith("no acceptable URN exists for this dataset")
    assert "GMS refuses more than 512" in said
