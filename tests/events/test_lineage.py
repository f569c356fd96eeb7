"""Which edges a run or a declared job states, and which runs speak for a job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.events import DatasetKey, JobKey
from openlineage_bridge.lineage import (
    Candidate,
    Column,
    ColumnEdge,
    Influence,
    Lineage,
    lineage_of,
    speakers,
)

JOB, UPSTREAM = JobKey("ns", "flow"), JobKey("ns", "upstream")
A, B, C, D = (DatasetKey("db", name) for name in "abcd")


def named(key, **more) -> dict:
    return {"namespace": key.namespace, "name": key.name} | more


def dataset(key, **more) -> dict:
    return named(key, type="DATASET", **more)


def job(key, **more) -> dict:
    return named(key, type="JOB", **more)


def entries(*items) -> dict:
    return {"entries": list(items)}


def columns(**fields) -> dict:
    return {"columnLineage": {"fields": {field: {"inputFields": inputs} for field, inputs in fields.items()}}}


# --- precedence -----------------------------------------------------------------------------------------------------


def test_product_when_nothing_is_stated():
    """Every input feeds every output."""
    actual = lineage_of(JOB, {B: {}, A: {}}, {C: {}})

    assert Lineage(inputs=(A, B), outputs=(C,), pairs=None) == actual


def test_column_lineage_adds_columns_and_inputs():
    """It does not narrow the product; datasets that only it names are inputs all the same."""
    actual = lineage_of(JOB, {A: {}}, {C: columns(x=[named(B, field="y")])})
    edge = ColumnEdge(Column(C, "x"), (Column(B, "y"),))

    assert Lineage(inputs=(A, B), outputs=(C,), pairs=None, columns=(edge,)) == actual


def test_lineage_facet_is_the_complete_picture():
    """With it, neither columnLineage nor the product adds an edge; inputs and outputs stay the job's boundary."""
    facet = entries(dataset(C, inputs=[dataset(A)]))
    actual = lineage_of(JOB, {A: {}, B: {}}, {C: columns(x=[named(B, field="y")]), D: {}}, facet)

    assert Lineage(inputs=(A, B), outputs=(C, D), pairs=((A, C),)) == actual


def test_column_lineage_counts_on_outputs_only():
    """On an input it is another run's story."""
    actual = lineage_of(JOB, {A: columns(x=[named(B, field="y")])}, {C: {}})

    assert Lineage(inputs=(A,), outputs=(C,)) == actual


# --- every form of the lineage facet --------------------------------------------------------------------------------

FORMS = [
    # facet, lineage of a job that reads a and writes b
    ({"entries": []}, Lineage((A,), (B,), pairs=())),
    (entries(dataset(B)), Lineage((A,), (B,), pairs=())),
    (entries(dataset(B, inputs=[])), Lineage((A,), (B,), pairs=())),
    (entries(dataset(B, inputs=[dataset(A)])), Lineage((A,), (B,), pairs=((A, B),))),
    (entries(dataset(B, inputs=[dataset(A)]), dataset(B, inputs=[dataset(C)])), Lineage((A, C), (B,), ((A, B), (C, B)))),
    (entries(dataset(C, inputs=[dataset(D)])), Lineage((A, D), (B, C), pairs=((D, C),))),
    (  # columns to columns
        entries(dataset(B, inputs=[], fields={"x": {"inputs": [dataset(A, field="y")]}})),
        Lineage((A,), (B,), ((A, B),), (ColumnEdge(Column(B, "x"), (Column(A, "y"),)),)),
    ),
    (  # a column from a whole dataset
        entries(dataset(B, fields={"x": {"inputs": [dataset(A)]}})),
        Lineage((A,), (B,), ((A, B),)),
    ),
    (  # a whole dataset from a column
        entries(dataset(B, inputs=[dataset(A, field="y")])),
        Lineage((A,), (B,), ((A, B),)),
    ),
    (  # with transformations
        entries(
            dataset(B, fields={"x": {"inputs": [dataset(A, field="y", transformations=[{"type": "INDIRECT", "subtype": "FILTER"}])]}})
        ),
        Lineage((A,), (B,), ((A, B),), (ColumnEdge(Column(B, "x"), (Column(A, "y"),), "INDIRECT:FILTER", indirect=True),)),
    ),
    # the job itself consumes
    (entries({"type": "JOB", "inputs": [dataset(C)]}), Lineage((A, C), (B,), pairs=())),
    (entries(job(JOB, inputs=[dataset(C)])), Lineage((A, C), (B,), pairs=())),
    # from job to job
    (entries({"type": "JOB", "inputs": [job(UPSTREAM)]}), Lineage((A,), (B,), (), upstream_jobs=(UPSTREAM,))),
    (entries(dataset(B, inputs=[job(UPSTREAM)])), Lineage((A,), (B,), (), upstream_jobs=(UPSTREAM,))),
    (entries(dataset(B, inputs=[{"type": "JOB"}])), Lineage((A,), (B,), ())),
    (entries(dataset(B, inputs=[job(JOB)])), Lineage((A,), (B,), ())),
    # another job's entry is that job's business
    (entries(job(UPSTREAM, inputs=[dataset(C)])), Lineage((A,), (B,), pairs=())),
]  # fmt: skip


@pytest.mark.parametrize(("facet", "expected"), FORMS)
def test_form(facet, expected):
    """LineageJobFacet 1-0-0."""
    assert expected == lineage_of(JOB, {A: {}}, {B: {}}, facet)


MALFORMED = [
    {},
    {"entries": None},
    {"entries": {}},
    {"entries": [None, 5, "x", []]},
    {
        "entries": [
            {},
            {"type": "DATASET"},
            {"type": "DATASET", "namespace": "n"},
            {"namespace": 1, "name": 2},
        ]
    },
    {"entries": [dataset(B, inputs=None, fields=None)]},
    {"entries": [dataset(B, inputs=[None, 5, {}, {"namespace": "n"}], fields=[])]},
    {"entries": [dataset(B, fields={"x": None, "y": {"inputs": 5}, "z": {"inputs": [None]}})]},
]


@pytest.mark.parametrize("facet", MALFORMED)
def test_malformed_lineage_facet(facet):
    """What cannot be understood states nothing, and breaks nothing."""
    assert Lineage((A,), (B,), pairs=()) == lineage_of(JOB, {A: {}}, {B: {}}, facet)


# --- column lineage -------------------------------------------------------------------------------------------------

DIRECT, FILTER = {"type": "DIRECT", "subtype": "IDENTITY"}, {"type": "INDIRECT", "subtype": "FILTER"}
COLUMNS = [
    ([named(A, field="y")], [(("y",), None, False)]),
    ([named(A, field="z"), named(A, field="y")], [(("y", "z"), None, False)]),
    ([named(A, field="y", transformations=[DIRECT])], [(("y",), "DIRECT:IDENTITY", False)]),
    ([named(A, field="y", transformations=[{"type": "DIRECT"}])], [(("y",), "DIRECT", False)]),
    ([named(A, field="y", transformations=[FILTER])], [(("y",), "INDIRECT:FILTER", True)]),
    (
        [named(A, field="y", transformations=[FILTER, DIRECT])],
        [(("y",), "DIRECT:IDENTITY", False), (("y",), "INDIRECT:FILTER", True)],
    ),
    (
        [named(A, field="y", transformations=[{**DIRECT, "masking": True, "description": " sha256 "}])],
        [(("y",), "DIRECT:IDENTITY (masking): sha256", False)],
    ),
    (
        [named(A, field="y", transformations=[{"masking": True, "description": 3}])],
        [(("y",), "(masking)", False)],
    ),
    (
        [named(A, field="y", transformations=[DIRECT]), named(A, field="z", transformations=[FILTER])],
        [(("y",), "DIRECT:IDENTITY", False), (("z",), "INDIRECT:FILTER", True)],
    ),
    ([named(A, field="y", transformations="x")], [(("y",), None, False)]),
    ([named(A, field="")], []),
    ([named(A)], []),
    ([{"field": "y"}, None, 5], []),
    (None, []),
    ({}, []),
]


@pytest.mark.parametrize(("inputs", "edges"), COLUMNS)
def test_input_fields(inputs, edges):
    """ColumnLineageDatasetFacet 1-2-0: one edge per transformation, malformed fields left out."""
    expected = [
        ColumnEdge(Column(B, "x"), tuple(Column(A, field) for field in fields), transformation, indirect)
        for fields, transformation, indirect in edges
    ]

    assert expected == list(lineage_of(JOB, {A: {}}, {B: columns(x=inputs)}).columns)


def test_deprecated_transformation_of_a_column():
    """``transformationType`` beside ``inputFields`` speaks where no transformation does."""
    facet = {"fields": {"x": {"inputFields": [named(A, field="y")], "transformationType": "MASKED"}}}
    [edge] = lineage_of(JOB, {}, {B: {"columnLineage": facet}}).columns

    assert "MASKED" == edge.transformation


def test_deprecated_description_of_a_column():
    """``transformationDescription`` says what was done, beside its type."""
    words = {"transformationType": "IDENTITY", "transformationDescription": "as it is"}
    facet = {"fields": {"x": {"inputFields": [named(A, field="y")], **words}}}
    [edge] = lineage_of(JOB, {}, {B: {"columnLineage": facet}}).columns

    assert "IDENTITY: as it is" == edge.transformation


def test_dependencies_of_the_whole_dataset_are_no_columns():
    """``dataset[]`` (1-2-0) names inputs that influence every row."""
    facet = {"fields": {}, "dataset": [named(A, field="y", transformations=[FILTER])]}

    expected = Lineage((A,), (B,), influences=(Influence(B, Column(A, "y"), "INDIRECT:FILTER"),))

    assert expected == lineage_of(JOB, {}, {B: {"columnLineage": facet}})


def test_what_decides_a_whole_output_is_apart_from_what_flows_into_it():
    """In the lineage facet too: an indirect input of a dataset is an influence, a direct one is not."""
    entry = dataset(B, inputs=[dataset(A, transformations=[FILTER]), dataset(C, transformations=[DIRECT])])

    actual = lineage_of(JOB, {A: {}, C: {}}, {B: {}}, {"entries": [entry]})

    assert (Influence(B, Column(A, ""), "INDIRECT:FILTER"),) == actual.influences
    assert ((A, B), (C, B)) == actual.pairs


@pytest.mark.parametrize(
    "facet", [None, 5, [], {"fields": []}, {"fields": {"x": 5}}, {"fields": None, "dataset": 5}]
)
def test_malformed_column_lineage(facet):
    """States nothing."""
    assert Lineage((A,), (B,)) == lineage_of(JOB, {A: {}}, {B: {"columnLineage": facet}})


_json = st.recursive(
    st.none() | st.integers() | st.sampled_from(["DATASET", "JOB", "a", ""]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["entries", "fields", "inputs", "inputFields", "namespace", "name", "field", "type", "dataset", "transformations"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(_json.filter(lambda value: isinstance(value, dict)), _json)
def test_any_facet_is_read(explicit, column_lineage):
    """No content of a facet raises."""
    for facet in (explicit, None):
        found = lineage_of(JOB, {A: {}}, {B: {"columnLineage": column_lineage}}, facet)
        assert A in found.inputs
        assert B in found.outputs


# --- who speaks -----------------------------------------------------------------------------------------------------


def completed(time, run_id="r") -> Candidate:
    return Candidate(time, run_id, completed=True)


def publishing(time, run_id="p") -> Candidate:
    return Candidate(time, run_id, publishing=True)


def silent(time, run_id="s") -> Candidate:
    return Candidate(time, run_id)


SPEAKERS = [
    # candidates, declared, window, who speaks
    ([], None, 1, ()),
    ([], 5, 1, None),
    ([completed(1)], None, 1, (completed(1),)),
    ([completed(1), completed(2)], None, 1, (completed(2),)),
    ([completed(2), completed(1)], None, 1, (completed(2),)),
    ([completed(1), silent(2)], None, 1, (completed(1),)),  # a failed or unfinished run erases nothing
    ([completed(1), publishing(2)], None, 1, (publishing(2),)),
    ([completed(2), publishing(1)], None, 1, (completed(2),)),
    ([silent(1), silent(2)], None, 1, (silent(2),)),  # none has completed: the latest
    ([silent(1), silent(2)], None, 3, (silent(2),)),
    ([completed(1, "a"), completed(1, "b")], None, 1, (completed(1, "b"),)),  # equal times: the greater id
    (
        [completed(3, "c"), completed(1, "a"), completed(2, "b")],
        None,
        2,
        (completed(3, "c"), completed(2, "b")),
    ),
    ([completed(1)], None, 3, (completed(1),)),
    ([completed(3)], 2, 1, (completed(3),)),
    ([completed(2)], 2, 1, None),  # a declaration wins a tie
    ([completed(1)], 2, 1, None),
    ([silent(9)], 2, 1, None),  # a run that has not completed takes nothing from a declaration
    ([publishing(9)], 2, 1, (publishing(9),)),
    ([completed(3, "c"), completed(1, "a")], 2, 2, (completed(3, "c"), completed(1, "a"))),
]


@pytest.mark.parametrize(("candidates", "declared", "window", "expected"), SPEAKERS)
def test_speakers(candidates, declared, window, expected):
    """The latest completed runs, or the newest declaration."""
    assert expected == speakers(candidates, declared, window)


@given(
    st.lists(
        st.builds(Candidate, st.integers(0, 3), st.sampled_from("abc"), st.booleans(), st.booleans()),
        max_size=5,
    ),
    st.none() | st.integers(0, 3),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_speakers_do_not_depend_on_order(candidates, declared, window, chance):
    """Any order of the candidates gives the same speakers."""
    assert speakers(candidates, declared, window) == speakers(
        chance.sample(candidates, len(candidates)), declared, window
    )
