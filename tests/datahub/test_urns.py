"""A dataset's URN is the one that the platform's own DataHub connector writes."""

from __future__ import annotations

import json

import pytest
from datahub.metadata.schema_classes import FabricTypeClass
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.events import Facets
from openlineage_bridge_datahub.encoding import encoded_length
from openlineage_bridge_datahub.locations import ALIASES
from openlineage_bridge_datahub.platforms import PLATFORMS
from openlineage_bridge_datahub.rules import FABRICS
from openlineage_bridge_datahub.urns import DatasetNaming


def resolve(namespace, name, rule=None, facets=None):
    rules = [{"match": namespace, **rule}] if rule else []
    return DatasetNaming(rules=rules).resolve(namespace, name, facets)


def urn(platform, name, env="PROD"):
    return f"urn:li:dataset:(urn:li:dataPlatform:{platform},{name},{env})"


def table(namespace, name):
    return {"symlinks": {"identifiers": [{"namespace": namespace, "name": name, "type": "TABLE"}]}}


def test_every_shared_case(shared_data):
    """All URN cases that lie beside the checkout come out as the connectors write them."""
    cases = json.loads((shared_data / "urn_cases.json").read_text())
    expected = {
        (case["namespace"], case["name"], str(case.get("config"))): case["expected_urn"] for case in cases
    }

    actual = {
        (case["namespace"], case["name"], str(case.get("config"))): resolve(
            case["namespace"], case["name"], case.get("config"), case.get("facets")
        ).urn
        for case in cases
    }

    assert expected == actual


SYMLINKED = [
    (
        "s3://b",
        "w/sales.db/orders",
        None,
        table("arn:aws-cn:glue:cn:1", "table/sales/orders"),
        "glue",
        "sales.orders",
    ),
    ("hdfs://nn", "/w/orders", None, table("hive://m:9083", "Sales.Orders"), "hive", "sales.orders"),
    ("file", "/w/orders", None, table("unity-catalog", "main.s.orders"), "databricks", "main.s.orders"),
    ("file", "/w/orders", None, table("file:/w", "default.orders"), "file", "/w/orders"),
    (
        "s3://lake",
        "w/orders",
        {"symlink_platform": "iceberg"},
        table("https://rest-catalog:8181", "sales.orders"),
        "iceberg",
        "sales.orders",
    ),
    (
        "s3://lake",
        "w/orders",
        None,
        table("https://rest-catalog:8181", "sales.orders"),
        "s3",
        "lake/w/orders",
    ),
    ("kafka://b:9092", "orders", None, table("kafka://b:9092", "cat.db.orders"), "kafka", "orders"),
    (
        "awsathena://a",
        "sales.orders",
        None,
        table("arn:aws:glue:x:1", "table/sales/orders"),
        "athena",
        "sales.orders",
    ),
]


@pytest.mark.parametrize("case", SYMLINKED)
def test_symlink(case):
    """A TABLE symlink into a catalog names a path; it never renames a table or a topic."""
    namespace, name, rule, facets, platform, expected = case

    assert urn(platform, expected) == resolve(namespace, name, rule, facets).urn


@pytest.mark.parametrize("where", ["https://rest-catalog:8181", "s3://lake/warehouse"])
def test_an_iceberg_catalog_names_its_tables(where):
    """The catalog facet says what a symlink to a REST address or a warehouse folder is; a catalog's name stays."""
    iceberg = {
        **table(where, "sales.orders"),
        "catalog": {"framework": "iceberg", "type": "rest", "name": "c"},
    }
    in_hive = {**iceberg, **table("hive://m:9083", "sales.orders")}

    assert urn("iceberg", "sales.orders") == resolve("s3://lake", "warehouse/sales/orders", None, iceberg).urn
    assert urn("hive", "sales.orders") == resolve("s3://lake", "warehouse/sales/orders", None, in_hive).urn


def test_a_bare_warehouse_symlink_is_mapped_by_its_own_rule():
    """A TABLE symlink in a warehouse folder counts where a rule says what that folder is."""
    naming = DatasetNaming(rules=[{"match": "file:/warehouse*", "platform": "hive", "env": "DEV"}])

    actual = naming.resolve("file", "/warehouse/t", table("file:/warehouse", "default.t"))

    assert urn("hive", "default.t", "DEV") == actual.urn


def test_the_choice_between_symlinks_does_not_depend_on_their_order():
    """Of several catalogs one wins, however they are listed."""
    one = table("hive://m:9083", "sales.orders")["symlinks"]["identifiers"]
    two = table("arn:aws:glue:x:1", "table/sales/orders")["symlinks"]["identifiers"]
    first = resolve("s3://b", "k", None, {"symlinks": {"identifiers": one + two}})
    second = resolve("s3://b", "k", None, {"symlinks": {"identifiers": two + one}})

    assert urn("glue", "sales.orders") == first.urn == second.urn


def test_facets_of_the_bridge_and_plain_mappings_are_the_same():
    """The bridge's lazily decoded facets resolve as a plain mapping does."""
    facets = table("hive://m:9083", "sales.orders")
    raw = Facets({"symlinks": json.dumps(facets["symlinks"]).encode()})

    assert resolve("s3://b", "k", None, facets).urn == resolve("s3://b", "k", None, raw).urn


@pytest.mark.parametrize(
    "symlinks", [None, {}, {"identifiers": None}, {"identifiers": [1, {"type": "TABLE"}]}, [1], "x"]
)
def test_malformed_symlinks_are_no_symlinks(symlinks):
    """Whatever stands in the facet, the dataset has a name."""
    assert urn("s3", "b/k") == resolve("s3://b", "k", None, {"symlinks": symlinks}).urn


@pytest.mark.parametrize(
    ("namespace", "name", "reason"),
    [
        ("s3://my-bucket", "x" * 500, "512"),
        ("s3://my-bucket", "é" * 100, "512"),
        ("pubsub", "subscription:p:s", "subscription"),
        ("inmemory://", "tmp", "memory"),
        ("postgres://db", " ", "no name"),
        ("", "x", "no name"),
    ],
)
def test_where_no_urn_exists_the_last_step_says_why(namespace, name, reason):
    """A dataset that GMS would refuse has no URN, and a reason."""
    actual = resolve(namespace, name)

    assert actual.urn is None
    assert reason in actual.steps[-1]


def test_a_urn_of_just_the_permitted_length_is_kept():
    """GMS counts the URL-encoded length and accepts 512."""
    overhead = encoded_length(urn("kafka", ""))

    assert encoded_length(resolve("kafka://b", "x" * (512 - overhead)).urn) == 512
    assert resolve("kafka://b", "x" * (513 - overhead)).urn is None


@pytest.mark.parametrize(
    ("match", "namespace", "expected"),
    [
        ("postgres://db", "postgres://db:5432", True),
        ("postgres", "postgres://db:5432", True),
        ("s3://lake", "s3://lake-eu", False),
        ("s3://lake", "s3://lake/base", True),
        ("snowflake://acme-eu*", "snowflake://acme-eu2", True),
        ("snowflake://acme-eu*", "snowflake://acme-us", False),
        ("bigquery", "bigquery", True),
        ("^s3a?://lake-\\d", "s3a://lake-1", True),
        ("s3://lake-?", "s3://lake-1", True),
    ],
)
def test_which_namespaces_a_rule_holds_in(match, namespace, expected):
    """A plain match ends at a boundary; stars, question marks and regular expressions are patterns."""
    naming = DatasetNaming(rules=[{"match": match, "env": "DEV"}])

    assert expected == naming.resolve(namespace, "a").urn.endswith(",DEV)")


def test_the_first_rule_that_matches_holds():
    """Rules are tried in order."""
    naming = DatasetNaming(
        rules=[{"match": "s3://a", "env": "DEV"}, {"match": "s3*", "env": "QA"}], env="test"
    )

    assert urn("s3", "a/k", "DEV") == naming.resolve("s3://a", "k").urn
    assert urn("s3", "b/k", "QA") == naming.resolve("s3://b", "k").urn
    assert urn("gcs", "b/k", "TEST") == naming.resolve("gs://b", "k").urn


@pytest.mark.parametrize(
    "rule",
    [
        {"match": "*", "platfrom": "s3"},
        {"platform": "s3"},
        {"match": "*", "env": "production"},
        {"match": "*", "path_style": "x"},
        {"match": "^("},
        "s3",
    ],
)
def test_a_wrong_rule_is_refused(rule):
    """A rule that cannot mean anything stops the start."""
    with pytest.raises(ConfigError):
        DatasetNaming(rules=[rule])


def test_the_steps_name_the_connector():
    """Explaining a name tells whose rule it follows."""
    actual = resolve("snowflake://o-a", "A.P.T", {"platform_instance": "eu"})

    assert actual.rule.startswith("snowflake (snowflake/")
    assert any("snowflake/snowflake_utils.py" in step for step in actual.steps)
    assert any("'eu'" in step for step in actual.steps)


anything = st.text(max_size=30) | st.text(alphabet='abAB.:/"`[](),@$*%~ é_', max_size=30)
namespaces = anything | st.builds(
    "{}://{}".format, st.sampled_from([*PLATFORMS, *ALIASES, "", "x+y"]), anything
)


@given(namespace=namespaces, name=anything)
def test_resolving_is_total(oracle, namespace, name):
    """Any two texts give a URN that DataHub accepts, or a reason."""
    actual = resolve(namespace, name)

    assert actual.steps
    if actual.urn is not None:
        assert oracle.judge("dataset", actual.urn, "status", {"removed": False}) == []


def test_the_environments_are_datahubs():
    """FabricType has exactly these."""
    assert {name for name in vars(FabricTypeClass) if name.isupper()} == FABRICS


@pytest.mark.parametrize(
    "given", [urn("snowflake", "eu.db.schema.t", "DEV"), urn("hive", "Db.T"), urn("kafka", "a%2Cb", "QA")]
)
def test_a_urn_that_the_producer_gives_is_taken_as_it_is(given):
    """Whatever the rules and the environment say of others: who moves over from a plugin of DataHub's wrote it down."""
    found = DatasetNaming(rules=[{"match": "*", "platform_instance": "x"}], env="EI").resolve(
        "datahub", given
    )

    assert (given, given.split("dataPlatform:")[1].split(",")[0]) == (found.urn, found.platform)


def test_a_given_urn_that_is_too_long_is_none():
    """With the reason."""
    found = DatasetNaming().resolve("datahub", urn("snowflake", "n" * 600))

    assert found.urn is None
    assert "GMS refuses more than 512" in found.steps[-1]
