"""Every facet of the specification is mapped or kept."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from openlineage.client import generated
from openlineage.client.generated import base

from openlineage_bridge_datahub import coverage, facet_page, facets
from openlineage_bridge_datahub.coverage import ROWS
from openlineage_bridge_datahub.facets import KEPT, MAPPED, custom_properties

# The specification's facets (spec/facets and spec/registry, August 2026).
STANDARD = {
    "run": (
        "parent nominalTime processing_engine errorMessage externalQuery extractionError jobDependencies tags test "
        "executionParameters environmentVariables gcp_composer_run gcp_dataproc"
    ),
    "job": (
        "jobType sql sourceCode sourceCodeLocation documentation ownership tags lineage gcp_composer_job gcp_lineage"
    ),
    "dataset": (
        "schema columnLineage lineage dataSource documentation ownership tags symlinks catalog storage version hierarchy "
        "datasetType lifecycleStateChange dataQualityMetrics"
    ),
    "input": "dataQualityAssertions dataQualityMetrics inputStatistics subset icebergScanReport",
    "output": "outputStatistics subset icebergCommitReport",
}

# Classes whose module is not named after the facet's key.
KINDS = [
    (base.InputDatasetFacet, "input"),
    (base.OutputDatasetFacet, "output"),
    (base.DatasetFacet, "dataset"),
    (base.JobFacet, "job"),
    (base.RunFacet, "run"),
]


def tables():
    return [(row.kind, row.facet) for row in ROWS]


def test_each_standard_facet_stands_in_the_table_once():
    """No facet is forgotten and none is there twice."""
    expected = sorted((kind, name) for kind, listed in STANDARD.items() for name in listed.split())

    assert expected == sorted(tables())
    assert expected == sorted({**MAPPED, **KEPT})


def test_what_is_mapped_says_where_to():
    """A row without a fate, or mapped to nothing, is no row."""
    assert {coverage.MAPPED, coverage.KEPT} == {row.fate for row in ROWS}
    assert all(MAPPED.values())


def test_the_page_is_the_table():
    """The documentation is what `python -m openlineage_bridge_datahub.facet_page` prints."""
    written = Path(__file__).parents[2] / "docs" / "reference" / "facet-coverage.md"

    assert written.read_text() == facet_page.page()


def facet_classes():
    for module in pkgutil.iter_modules(generated.__path__):
        loaded = importlib.import_module(f"{generated.__name__}.{module.name}")
        for cls in vars(loaded).values():
            if isinstance(cls, type) and cls.__module__ == loaded.__name__ and module.name != "base":
                for root, kind in KINDS:
                    if issubclass(cls, root) and cls is not root:
                        yield module.name, kind, cls
                        break


def test_the_client_has_no_facet_that_the_tables_lack():
    """Every facet class of openlineage-python belongs to a facet in the tables."""
    known = {(kind, _plain(name)) for kind, name in tables()}
    missing = [
        (module, kind, cls.__name__)
        for module, kind, cls in facet_classes()
        if not any((kind, word) in known for word in _words(module, cls))
    ]

    assert missing == []
    assert len(list(facet_classes())) > 30


def _plain(name):
    return re.sub(r"[^a-z]", "", name.lower())


def _words(module, cls):
    """The key that a class may have: its name, or its module's, without the kind's suffixes."""
    for text in (cls.__name__, module):
        plain = _plain(text)
        while plain:
            yield plain
            shorter = re.sub(r"(inputdataset|outputdataset|dataset|run|job|facet)$", "", plain)
            if shorter == plain:
                break
            plain = shorter
    yield from {"datasourcedataset": ["datasource"], "basesubsetdataset": ["subset"]}.get(_plain(module), [])
    yield {"datasetversion": "version", "datasettype": "datasettype"}.get(
        _plain(module).removesuffix("dataset"), ""
    )


def test_unknown_facets_become_custom_properties(states):
    """Fields are flattened, nested ones are JSON, the header is left out."""
    given = states.facets(
        acme={"_producer": "p", "_schemaURL": "s", "a": 1, "b": {"c": "é"}, "d": "x", "e": None}
    )

    assert custom_properties("run", given) == {"acme.a": "1", "acme.b": '{"c":"é"}', "acme.d": "x"}


def test_lists_of_names_and_values_become_a_property_each(states):
    """Run tags, parameters and environment variables read as what they are."""
    given = states.facets(
        tags={"tags": [{"key": "team", "value": "x"}, {"no": 1}]},
        executionParameters={"parameters": [{"key": "n", "value": 3}]},
        environmentVariables={"environmentVariables": [{"name": "HOME", "value": "/"}]},
    )

    assert custom_properties("run", given) == {"env.HOME": "/", "parameter.n": "3", "tag.team": "x"}


def test_large_facets_and_values_are_bounded(states):
    """Of a logical plan the beginning is kept, a long value is cut."""
    plan = states.facets(**{"spark.logicalPlan": {"plan": "x" * facets.MAX_FACET_BYTES}})
    value = custom_properties("run", states.facets(acme={"text": "x" * 5000}))["acme.text"]

    assert custom_properties("run", plan) == {"spark.logicalPlan": '{"plan": "' + "x" * 989 + "…"}
    assert (len(value), value[-1]) == (facets.MAX_VALUE, "…")


@pytest.mark.parametrize("broken", [None, 1, "x", [1], [{"key": 1}]])
def test_malformed_facets_are_survived(states, broken):
    """Whatever a producer sends, there are properties or none."""
    assert custom_properties("run", states.facets(tags={"tags": broken})) == {}
