"""`verify` tells on which entities lineage lands, and which rule is missing."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from openlineage_bridge.cli.verify import command
from openlineage_bridge.errors import RetryLater
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.translation import Standing
from openlineage_bridge_datahub import DataHubTranslator, DatasetNaming
from openlineage_bridge_datahub.proposing import propose
from openlineage_bridge_datahub.sinks.rest import PIPELINE, RestSink

OTHERS = {"value": {}, "systemMetadata": {"pipelineName": "postgres-recipe", "runId": "postgres-2026"}}
OURS = {"value": {}, "systemMetadata": {"pipelineName": PIPELINE, "runId": PIPELINE}}


def urn(name, platform="postgres", env="PROD"):
    return f"urn:li:dataset:(urn:li:dataPlatform:{platform},{name},{env})"


def made_by_a_connector(*names, **where):
    return {urn(name, **where): {"schemaMetadata": OTHERS, "status": OTHERS} for name in names}


@pytest.fixture
def look_up(gms):
    sink = RestSink(gms.url)
    yield lambda *urns: [(each.standing, each.instead) for each in sink.look_up(urns)]
    sink.close()


# --- what DataHub knows ---------------------------------------------------------------------------------------------


def test_what_a_connector_made_exists(gms, look_up):
    """Also where the bridge wrote about it too; and no search is needed."""
    gms.held = made_by_a_connector("d.s.t")
    gms.held[urn("d.s.t")]["upstreamLineage"] = OURS

    assert [(Standing.EXISTS, ())] == look_up(urn("d.s.t"))
    assert [] == gms.searched


def test_another_casing_is_found(gms, look_up):
    """Wherever the case differs, platform instance included."""
    gms.held = made_by_a_connector("Shop.dbo.Orders")

    assert [(Standing.CASING, (urn("Shop.dbo.Orders"),))] == look_up(urn("shop.dbo.orders"))


@pytest.mark.parametrize(
    ("named", "there"),
    [
        (urn("d.s.t"), urn("eu.d.s.t")),
        (urn("s.t"), urn("d.s.t")),
        (urn("hive.s.t", "hive"), urn("s.t", "hive")),
        (urn("d.s.t"), urn("d.s.t", env="DEV")),
        (urn("nn:8020/w/t", "hdfs"), urn("/w/t", "hdfs")),
    ],
)
def test_another_instance_database_or_environment_is_found(gms, look_up, named, there):
    """A name that holds the whole of the other is taken for the same dataset."""
    gms.held = {there: {"status": OTHERS}, named: {"upstreamLineage": OURS}}

    [(standing, instead)] = look_up(named)

    assert (Standing.ELSEWHERE, (there,)) == (standing, instead)


def test_what_only_the_bridge_wrote_about_is_a_ghost(gms, look_up):
    """Other tables, and ghosts in another casing, are no reason to call it anything else."""
    gms.held = {
        urn("d.s.t"): {"datasetProperties": OURS},
        urn("D.S.T"): {"datasetProperties": OURS},
        **made_by_a_connector("d.s.not_t", "d.s.t2"),
    }

    assert [(Standing.GHOST, ())] == look_up(urn("d.s.t"))


def test_what_is_not_there_is_absent(gms, look_up):
    """In the order in which it was asked for."""
    gms.held = made_by_a_connector("d.s.t")

    assert [Standing.ABSENT, Standing.EXISTS] == [each for each, _ in look_up(urn("d.s.x"), urn("d.s.t"))]


@pytest.mark.parametrize("status", [401, 500])
def test_a_server_that_does_not_answer_is_said_so(gms, look_up, status):
    """Nothing is concluded from silence."""
    gms.status = status

    with pytest.raises(RetryLater, match=str(status)):
        look_up(urn("d.s.t"))


# --- which rule would fix it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("namespace", "name", "there", "rule"),
    [
        ("postgres://h", "d.s.t", urn("eu.d.s.t"), {"platform_instance": "eu"}),
        ("postgres://h", "d.s.t", urn("d.s.t", env="DEV"), {"env": "DEV"}),
        ("postgres://h", "d.s.t", urn("eu.d.s.t", env="DEV"), {"env": "DEV", "platform_instance": "eu"}),
        ("postgres://h", "D.S.T", urn("d.s.t"), {"lowercase": True}),
        ("snowflake://o", "D.S.T", urn("D.S.T", "snowflake"), {"lowercase": False}),
        (
            "mssql://h",
            "Shop.dbo.T",
            urn("p.shop.dbo.t", "mssql"),
            {"lowercase": True, "platform_instance": "p"},
        ),
        ("hdfs://nn:8020", "/w/t", urn("/w/t", "hdfs"), {"path_style": "no_authority"}),
        ("oracle://h", "X.HR.EMP", urn("x.hr.emp", "oracle"), {"include_database": True}),
    ],
)
def test_the_simplest_rule_is_proposed(states, namespace, name, there, rule):
    """One key where one is enough."""
    dataset = states.dataset(namespace, name)

    assert {"match": namespace, **rule} == propose(DatasetNaming(), namespace, [(dataset, there)])


def test_a_rule_has_to_fit_all_datasets_of_its_namespace(states):
    """What names one right and another wrong is no rule; where none fits all, none is proposed."""
    datasets = [states.dataset("postgres://h", name) for name in ("a.s.t", "b.s.t")]
    together = [urn("eu.a.s.t"), urn("eu.b.s.t")]
    apart = [urn("eu.a.s.t"), urn("us.b.s.t")]

    assert {"match": "postgres://h", "platform_instance": "eu"} == propose(
        DatasetNaming(), "postgres://h", list(zip(datasets, together, strict=True))
    )
    assert None is propose(DatasetNaming(), "postgres://h", list(zip(datasets, apart, strict=True)))


def test_a_rule_that_is_there_is_added_to(states):
    """Its keys stay."""
    naming = DatasetNaming([{"match": "postgres://*", "env": "DEV"}])
    dataset = states.dataset("postgres://h", "d.s.t")

    assert {"match": "postgres://h", "env": "DEV", "platform_instance": "eu"} == propose(
        naming, "postgres://h", [(dataset, urn("eu.d.s.t", env="DEV"))]
    )


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    """A store that knows of three datasets."""
    event = {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-01T00:00:00Z",
        "run": {"runId": "06d4248d-0000-4000-8000-000000000000"},
        "job": {"namespace": "n", "name": "j"},
        "inputs": [{"namespace": "postgres://h", "name": name} for name in ("d.s.a", "d.s.b")],
        "outputs": [{"namespace": "kafka://b", "name": "out"}],
    }
    path = tmp_path / "bridge.db"
    with Store(path) as opened:
        with opened.transaction():
            opened.inbox.put([inspect(json.dumps(event).encode())], receiver="test", now=0)
        Pipeline(opened, DataHubTranslator()).drain()
    return path


@pytest.fixture
def verify(gms, store, tmp_path):
    def run(*arguments):
        environment = {"DATAHUB_GMS_URL": gms.url, "HOME": str(tmp_path), "OPENLINEAGE_BRIDGE_CONFIG": None}
        return CliRunner().invoke(command, ["--store", str(store), *arguments], env=environment)

    return run


def test_the_command_proposes_rules(gms, verify):
    """What is there under another name, and the rule for its namespace, ready to paste."""
    gms.held = made_by_a_connector("eu.d.s.a", "eu.d.s.b")
    gms.held[urn("out", "kafka")] = {"datasetProperties": OURS}

    said = verify().output

    assert "2  are there under another instance, database or environment" in said
    assert f"postgres://h d.s.a: {urn('d.s.a')} → {urn('eu.d.s.a')}" in said
    assert "1  are there only because the bridge wrote about them" in said
    assert "namespaces:\n- match: postgres://h\n  platform_instance: eu" in said


def test_the_command_as_json(gms, verify):
    """Every dataset with its standing; no rule where none is needed."""
    gms.held = made_by_a_connector("d.s.a", "d.s.b")

    said = json.loads(verify("--format", "json").output)

    assert [("out", "absent"), ("d.s.a", "exists"), ("d.s.b", "exists")] == [
        (each["name"], each["standing"]) for each in said["datasets"]
    ]
    assert [] == said["namespaces"]


def test_the_command_without_an_answer(gms, verify):
    """It says so, and concludes nothing."""
    gms.status = 503

    said = verify()

    assert "" == said.output
    assert isinstance(said.exception, RetryLater)
