"""Which input of a recording fed which output: the explicit lineage facet, and when there is none."""

from __future__ import annotations

import pytest
from bridge_tests.describing import NAMESPACE, statements, wire

from openlineage_bridge_capture import Dataset
from openlineage_bridge_capture.describe import describe
from openlineage_bridge_capture.recording import Recording, Statement


def edges(*texts: str, **others) -> dict[str, list[str]] | None:
    """The explicit lineage of these statements, without the places of names; None where there is no facet."""
    facets = wire(describe(Recording(statements=statements(*texts), **others)))["job"]["facets"]
    if "lineage" not in facets:
        return None
    return {
        entry["name"].removeprefix("shop.public."): [
            source["name"].removeprefix("shop.public.") for source in entry["inputs"] if "field" not in source
        ]
        for entry in facets["lineage"]["entries"]
    }


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (
            ["CREATE TABLE a AS SELECT * FROM t", "INSERT INTO b SELECT x FROM u JOIN v USING (i)"],
            {"a": ["t"], "b": ["u", "v"]},
        ),
        (
            ["INSERT INTO a SELECT x FROM t", "INSERT INTO b SELECT y FROM a"],
            {"a": ["t"], "b": ["t"]},
        ),
        (
            [
                "CREATE TEMP TABLE x AS SELECT * FROM t",
                "INSERT INTO a SELECT * FROM x",
                "INSERT INTO b SELECT 1 FROM u",
            ],
            {"a": ["t"], "b": ["u"]},
        ),
        (
            ["INSERT INTO a SELECT x FROM t", "DELETE FROM b WHERE y IN (SELECT y FROM t)"],
            {"a": ["t"], "b": ["t"]},
        ),
        (["INSERT INTO a SELECT x FROM t", "TRUNCATE b"], {"a": ["t"], "b": []}),
        (["INSERT INTO a SELECT x FROM t", "DELETE FROM b WHERE old"], {"a": ["t"], "b": []}),
        (
            ["WITH w AS (INSERT INTO a SELECT x FROM t RETURNING x) INSERT INTO b SELECT x FROM w"],
            {"a": ["t"], "b": ["t"]},
        ),
        (["COPY a FROM '/x.csv'", "COPY b FROM '/y.csv'"], {"a": ["/x.csv"], "b": ["/y.csv"]}),
    ],
)
def test_the_lineage_facet_says_which_input_fed_which_output(texts, expected):
    assert expected == edges(*texts)


@pytest.mark.parametrize(
    "texts",
    [
        ["INSERT INTO a SELECT x FROM t"],
        ["INSERT INTO a VALUES (%s)", "INSERT INTO b SELECT x FROM t"],
        ["INSERT INTO a SELECT x FROM t", "COPY b FROM STDIN"],
        ["INSERT INTO a SELECT x FROM t", "UPDATE b SET x = %s"],
        ["INSERT INTO a SELECT x FROM t", "INSERT INTO b SELECT y FROM u", "SELECT z FROM v"],
        ["INSERT INTO a SELECT x FROM t", "INSERT INTO b SELECT y FROM u", "SELECT FROM WHERE ("],
        ["INSERT INTO a SELECT x FROM t", "REFRESH MATERIALIZED VIEW b"],
        [
            "CREATE TEMP TABLE x (i int)",
            "INSERT INTO x VALUES (1)",
            "INSERT INTO a SELECT i FROM x, t",
            "DELETE FROM b",
        ],
    ],
)
def test_there_is_no_lineage_facet_where_less_is_known_than_it_would_say(texts):
    assert None is edges(*texts)


def test_what_libraries_write_and_what_is_only_said_leaves_the_edges_unknown():
    texts = ["INSERT INTO a SELECT x FROM t", "INSERT INTO b SELECT y FROM u"]
    assert {"a": ["t"], "b": ["u"]} == edges(*texts)
    assert None is edges(*texts, writes=(Dataset("file", "/x"),))
    assert None is edges(*texts, writes=(Dataset(NAMESPACE, "shop.public.a"),))
    assert None is edges(*texts, outputs=(Dataset("file", "/x"),))
    assert None is edges(*texts, reads=(Dataset("file", "/x"),))
    assert None is edges(*texts, left_out=1)
    assert {"a": ["t"], "b": ["u"]} == edges(*texts, outputs=(Dataset(NAMESPACE, "shop.public.a"),))


def test_a_data_frame_leaves_the_edges_unknown():
    frame = Statement(
        "INSERT INTO a SELECT * FROM df", "duckdb", "duckdb:///w", "w", "main", ephemeral=("df",)
    )
    other = Statement("INSERT INTO b SELECT * FROM t", "duckdb", "duckdb:///w", "w", "main")
    description = describe(Recording(statements=(frame, other)))
    assert "lineage" not in description.job_facets
    assert {("duckdb:///w", "w.main.b"): frozenset({("duckdb:///w", "w.main.t")})} == description.sources


def test_the_entries_of_the_lineage_facet_carry_the_columns():
    event = wire(
        describe(
            Recording(
                statements=statements(
                    "CREATE TABLE a AS SELECT sum(x) AS s FROM t WHERE k", "INSERT INTO b (z) SELECT y FROM u"
                )
            )
        )
    )
    first, _ = event["job"]["facets"]["lineage"]["entries"]
    source = {"namespace": NAMESPACE, "name": "shop.public.t", "type": "DATASET"}
    assert ("DATASET", NAMESPACE) == (first["type"], first["namespace"])
    assert [
        {**source, "field": "x", "transformations": [{"type": "DIRECT", "subtype": "AGGREGATION"}]}
    ] == first["fields"]["s"]["inputs"]
    assert {**source, "field": "k", "transformations": [{"type": "INDIRECT", "subtype": "FILTER"}]} in first[
        "inputs"
    ]
