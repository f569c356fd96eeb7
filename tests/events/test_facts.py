"""Facts merge to the same whatever the order, and each facet belongs to the subject that it is about."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.events import DatasetKey, JobKey, canonical, parse
from openlineage_bridge.facts import Kind, Role, RunKey, facts_of, merge

JOB = JobKey("ns", "flow")
A = DatasetKey("db://h", "a")


def said(event: dict) -> dict:
    """The facts of one event."""
    return dict(facts_of(parse(canonical(json.dumps(event).encode()))))


def where(event: dict, facet: str) -> set[tuple]:
    """Whose fact a facet became: kind, role, dataset."""
    return {(key.kind, key.role, key.dataset) for key in said(event) if key.facet == facet}


# --- merging --------------------------------------------------------------------------------------------------------


def merged(*many: dict) -> dict:
    facts: dict = {}
    for each in many:
        merge(facts, each.items())
    return facts


@given(data=st.data())
def test_merge_is_commutative_associative_and_idempotent(world, data):
    """A last-writer-wins map."""
    one, two, three = (said(data.draw(world.events)) for _ in range(3))

    assert merged(one, two) == merged(two, one)
    assert merged(one, merged(two, three)) == merged(merged(one, two), three)
    assert merged(one, one) == one


@given(data=st.data())
def test_newest_wins(world, data):
    """Each fact that stands is the greatest of those that were said, by time and then by digest."""
    many = [said(each) for each in data.draw(world.histories)]
    expected = {
        key: max((each[key] for each in many if key in each), key=lambda fact: (fact.time, fact.digest))
        for key in set().union(*many)
    }

    assert expected == merged(*many)


def test_equal_times_are_decided_by_the_content(world):
    """So that the order of arrival never matters."""
    one, two = (
        said(world.dataset_event({"namespace": "n", "name": "d", "facets": {"x": {"v": value}}}))
        for value in (1, 2)
    )
    [fact] = merged(one, two).values()

    assert max(*one.values(), *two.values(), key=lambda each: each.digest) == fact


def test_removed_and_revived(world):
    """``_deleted`` removes a facet; a later one brings it back, an earlier one does not."""

    def event(second, **facet):
        return said(world.dataset_event({"namespace": "n", "name": "d", "facets": {"x": facet}}, second))

    [gone] = merged(event(1, v=1), event(2, _deleted=True)).values()
    [still_gone] = merged(event(2, _deleted=True), event(1, v=1)).values()
    [back] = merged(event(2, _deleted=True), event(3, v=3)).values()

    assert gone.removed
    assert still_gone == gone
    assert (b'{"v":3}', False) == (back.body, back.removed)


@pytest.mark.parametrize("deleted", [None, False, 0, "true", 1])
def test_only_true_removes(world, deleted):
    """``_deleted: null`` and its kin are seen in real events and remove nothing."""
    [fact] = said(
        world.dataset_event({"namespace": "n", "name": "d", "facets": {"x": {"_deleted": deleted}}})
    ).values()

    assert not fact.removed


# --- whose fact a facet is ------------------------------------------------------------------------------------------

OF_THE_DATASET = ("schema", "documentation", "ownership", "storage", "symlinks", "catalog", "tags", "custom")
OF_THE_USE = ("columnLineage", "lifecycleStateChange", "version", "dataQualityAssertions", "subset")


@pytest.mark.parametrize("role", list(Role)[1:])
@pytest.mark.parametrize("facet", [*OF_THE_DATASET, *OF_THE_USE])
def test_dataset_facet_of_a_run(world, role, facet):
    """What a dataset is belongs to the dataset; what a run did to it belongs to that run's use of it."""
    dataset = {"namespace": "db://h", "name": "a", "facets": {facet: {"v": 1}}}
    expected = (Kind.DATASET, Role.SELF, None) if facet in OF_THE_DATASET else (Kind.RUN, role, A)

    assert {expected} == where(world.run_event(**{f"{role}s": [dataset]}), facet)


def test_lineage_dataset_facet_of_a_run_is_not_the_datasets(world):
    """LineageDatasetFacet stands on DatasetEvents only; in a run it must not become dataset-level lineage."""
    dataset = {"namespace": "db://h", "name": "a", "facets": {"lineage": {"inputs": []}}}

    assert (Kind.DATASET, Role.SELF, None) not in where(world.run_event(outputs=[dataset]), "lineage")


@pytest.mark.parametrize("role", ["input", "output"])
@pytest.mark.parametrize("facet", ["schema", "outputStatistics", "custom"])
def test_input_and_output_facets_belong_to_the_use(world, role, facet):
    """Whatever they are called."""
    dataset = {"namespace": "db://h", "name": "a", f"{role}Facets": {facet: {"v": 1}}}

    assert {(Kind.RUN, role, A)} == where(world.run_event(**{f"{role}s": [dataset]}), facet)


def test_same_facet_in_both_places(world):
    """The input facet wins over the dataset facet of the same name within one event."""
    dataset = {
        "namespace": "db://h",
        "name": "a",
        "facets": {"subset": {"v": 1}},
        "inputFacets": {"subset": {"v": 2}},
    }
    facts = said(world.run_event(inputs=[dataset]))

    assert [b'{"v":2}'] == [fact.body for key, fact in facts.items() if key.facet == "subset"]


@pytest.mark.parametrize("facet", [*OF_THE_DATASET, *OF_THE_USE, "lineage"])
def test_dataset_event_says_everything_about_the_dataset(world, facet):
    """There is no run whose use it could be."""
    dataset = {"namespace": "db://h", "name": "a", "facets": {facet: {"v": 1}}}

    assert {(Kind.DATASET, Role.SELF, None)} == where(world.dataset_event(dataset), facet)


def test_facets_of_run_and_job(world):
    """Run facets are the run's, job facets the job's, but the lineage job facet is the run's."""
    event = world.run_event(
        run_facets={"nominalTime": {"v": 1}}, job_facets={"sql": {"v": 1}, "lineage": {"entries": []}}
    )

    assert {(Kind.RUN, Role.SELF, None)} == where(event, "nominalTime")
    assert {(Kind.JOB, Role.SELF, None)} == where(event, "sql")
    assert {(Kind.RUN, Role.SELF, None)} == where(event, "@lineage")


# --- what the envelope says -----------------------------------------------------------------------------------------


def test_marks_of_a_run_event(world):
    """That it happened, who said it, and which datasets were used."""
    facts = said(world.run_event(second=1, event_type="START", inputs=["a"], outputs=["a"]))
    marks = {(key.kind, key.role, key.dataset, key.facet): fact.body for key, fact in facts.items()}

    assert {
        (Kind.RUN, Role.SELF, None, "@START"): b"{}",
        (Kind.JOB, Role.SELF, None, "@producer"): b'"https://example.com/producer"',
        (Kind.RUN, Role.INPUT, A, "@used"): b"{}",
        (Kind.RUN, Role.OUTPUT, A, "@used"): b"{}",
    } == marks
    assert RunKey(JOB, world.RUN_IDS[0]) in {key.subject for key in facts}


PARENT = {"run": {"runId": "x"}, "job": {"namespace": "ns", "name": "dag"}}
PARENTS = [
    ({"parent": PARENT}, b'{"parent":["ns","dag"],"root":null}'),
    ({"parentRun": PARENT}, b'{"parent":["ns","dag"],"root":null}'),
    ({"parent": PARENT | {"root": PARENT}}, b'{"parent":["ns","dag"],"root":["ns","dag"]}'),
    ({"parent": PARENT | {"root": "x"}}, b'{"parent":["ns","dag"],"root":null}'),
    ({"parent": {"job": {"namespace": "ns", "name": ""}}}, None),
    ({"parent": {"job": ["ns", "dag"]}}, None),
    ({"parent": {}}, None),
]


@pytest.mark.parametrize(("facets", "expected"), PARENTS)
def test_parent_jobs(world, facets, expected):
    """The jobs alone, which are the same for every run of a schedule; malformed parents say nothing."""
    found = [
        fact.body for key, fact in said(world.run_event(run_facets=facets)).items() if key.facet == "@parent"
    ]

    assert ([] if expected is None else [expected]) == found


@pytest.mark.parametrize(
    ("facet", "expected"),
    [
        ({"name": " Spark ", "version": "3.5"}, [b'"spark"']),
        ({"version": "3.5"}, []),
        ({"name": ""}, []),
        ({"name": 3}, []),
        ({"_deleted": True}, []),
    ],
)
def test_the_engine_of_a_job(world, facet, expected):
    """Its name alone is a fact about the job: the version changes from run to run, and not every event has the facet."""
    facts = said(world.run_event(run_facets={"processing_engine": facet}))

    assert expected == [
        fact.body for key, fact in facts.items() if (key.kind, key.facet) == (Kind.JOB, "@engine")
    ]


def test_a_declared_job_may_name_its_parent(world):
    """In a facet of its own, since only runs have a parent in the specification; the facet is no more than that."""
    parent = PARENT | {"root": PARENT}
    facts = {
        key.facet: fact.body for key, fact in said(world.job_event(openlineageBridge_parent=parent)).items()
    }

    assert {"@parent", "@producer"} == facts.keys()
    assert facts["@parent"] == b'{"parent":["ns","dag"],"root":["ns","dag"]}'
    assert set() == where(world.job_event(openlineageBridge_parent={"job": "dag"}), "@parent")


def test_job_event_replaces(world):
    """Its inputs and outputs are one fact: a newer JobEvent takes the older one's place."""
    older, newer = (
        said(world.job_event(second=1, inputs=["a", "b"])),
        said(world.job_event(second=2, inputs=["a"])),
    )
    [declared] = [fact for key, fact in merged(newer, older).items() if key.facet == "@declared"]

    assert {"inputs": [{"facets": {}, "name": "a", "namespace": "db://h"}], "outputs": []} == json.loads(
        declared.body
    )


def test_job_event_without_lineage_declares_none(world):
    """A description of a job is no statement that it reads and writes nothing."""
    assert set() == where(world.job_event(documentation={"description": "x"}), "@declared")


def test_removed_lineage_facet_of_a_job_event_states_nothing(world):
    """``lineage: {_deleted: true}`` is no picture of the edges: every input feeds every output."""
    event = world.job_event(inputs=["a"], outputs=["b"], lineage={"_deleted": True})
    [declared] = [fact for key, fact in said(event).items() if key.facet == "@declared"]

    assert "lineage" not in json.loads(declared.body)


@pytest.mark.parametrize(
    "parts",
    [{"run_facets": {"@COMPLETE": {}}}, {"job_facets": {"@parent": {}, "@declared": {}, "@producer": {}}}],
)
def test_no_facet_can_pose_as_a_mark(world, parts):
    """Names with @ are the envelope's: a producer cannot end a run, or declare a lineage, by a facet's key."""
    honest = {(key, fact.body) for key, fact in said(world.run_event(event_type="START")).items()}
    posing = {(key, fact.body) for key, fact in said(world.run_event(event_type="START", **parts)).items()}

    assert honest == posing


def test_event_without_time_never_wins(world):
    """Not even over one from before 1970, of which archives replayed with a wrong clock are full."""
    timed, untimed = (
        world.dataset_event({"namespace": "n", "name": "d", "facets": {"x": {"v": value}}})
        | {"eventTime": time}
        for value, time in ((1, "1969-12-31T00:00:00Z"), (2, ""))
    )
    [fact] = merged(said(timed), said(untimed)).values()

    assert b'{"v":1}' == fact.body
