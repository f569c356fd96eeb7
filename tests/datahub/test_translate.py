"""States become aspects that DataHub accepts and that say what OpenLineage said."""

from __future__ import annotations

import subprocess
import sys

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.events import DatasetKey, Facets, JobKey
from openlineage_bridge.translation import DatasetState, JobIdentity, Translator, Use
from openlineage_bridge_datahub import DataHubTranslator
from openlineage_bridge_datahub.coverage import ROWS
from openlineage_bridge_datahub.jobs import CONVENTIONS
from openlineage_bridge_datahub.run_aspects import ATTEMPTS, LINKS, NATIVE_STATES

RUN = "06d4248d-0000-4000-8000-000000000000"
TASK = {"jobType": {"integration": "PREFECT", "jobType": "TASK", "processingType": "BATCH"}}
FLOW = {"jobType": {"integration": "PREFECT", "jobType": "FLOW", "processingType": "BATCH"}}
START_US = 1_790_000_000_000_123


keys = st.sampled_from(
    [
        "fields",
        "name",
        "type",
        "inputs",
        "namespace",
        "field",
        "job",
        "run",
        "runId",
        "upstream",
        "owners",
        "tags",
        "key",
        "value",
        "query",
        "description",
        "url",
        "identifiers",
        "datasetType",
        "integration",
        "jobType",
        "inputFields",
        "transformations",
        "nominalStartTime",
        "message",
        "assertions",
        "assertion",
        "success",
        "column",
        "tests",
        "status",
        "params",
        "columnMetrics",
        "rowCount",
        "quantiles",
        "sum",
        "count",
        "lifecycleStateChange",
        "previousIdentifier",
        "hierarchy",
        "dataset",
        "outputCondition",
        "partitions",
        "dimensions",
        "root",
        "version",
        "taskInstance",
        "state",
        "stateName",
        "log_url",
    ]
)
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
# A facet is an object: the bridge leaves out any other.
any_facet = st.dictionaries(keys, junk, max_size=4)
OWN = {facet for facet, _ in (*ATTEMPTS, *LINKS, *NATIVE_STATES)}
any_facets = st.dictionaries(
    st.sampled_from(sorted(OWN | {row.facet for row in ROWS})), any_facet, max_size=5
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(
    about_job=any_facets,
    about_run=any_facets,
    about_dataset=any_facets,
    result=st.sampled_from(["COMPLETE", "FAIL"]),
    convention=st.sampled_from(CONVENTIONS),
)
def test_whatever_the_facets_datahub_accepts_the_aspects(
    states, accepted, about_job, about_run, about_dataset, result, convention
):
    """Malformed facets cost themselves at most: the translator is total and what it says is valid."""
    said = {"siblings": True, "dropped": "remove"}
    translator = DataHubTranslator.from_options({"datasets": said, "most_pairs": 1, "job_urns": convention})
    times = dict.fromkeys(about_dataset, START_US)
    dataset = DatasetState(DatasetKey("postgres://h", "d.s.t"), states.facets(**about_dataset), times)
    use = Use(dataset, states.facets(**about_run))
    job = JobIdentity(JobKey("n", "a.b"), states.facets(**about_job))
    state = attrs.evolve(states.job(job, [use], [use]), run_facets=states.facets(**about_run))
    run = states.run(
        job,
        RUN,
        facets=about_run,
        started=START_US,
        ended=START_US,
        result=result,
        inputs=(use,),
        outputs=(use,),
    )

    accepted(translator.job(state))
    accepted(translator.run(run))
    accepted(translator.dataset(dataset))


def test_it_is_a_translator(translator, states):
    """The class fulfils the bridge's protocol."""
    dataset = DatasetState(states.dataset("s3://b", "k").key, Facets())

    assert isinstance(translator, Translator)
    assert translator.resolve(dataset).urn == "urn:li:dataset:(urn:li:dataPlatform:s3,b/k,PROD)"


@pytest.mark.parametrize(
    ("section", "word"),
    [
        ({"enviroment": "PROD"}, "env"),
        ({"env": "production"}, "production"),
        ({"datasets": {"tags_and_owners": "replace"}}, "tags_and_owners"),
        ({"datasets": {"dropped": True}}, "dropped"),
        ({"most_pairs": -1}, "most_pairs"),
        ({"datasets": {"schema": "often"}}, "often"),
        ({"datasets": 3}, "datasets"),
        ({"namespaces": [{"match": "a", "instance": "b"}]}, "instance"),
        ({"indirect_columns": "no"}, "indirect_columns"),
    ],
)
def test_wrong_options_are_refused(section, word):
    """The text names what is wrong."""
    with pytest.raises(ConfigError, match=word):
        DataHubTranslator.from_options(section)


def test_the_sinks_options_are_not_the_translators_business():
    """Both read the same section."""
    section = {"sink": "rest", "server": "http://x", "token": None, "env": "dev", "path": "x.json"}

    assert DataHubTranslator.from_options(section).options.env == "DEV"


def test_importing_the_translator_does_not_import_datahub():
    """acryl-datahub costs a second and 100 MB: it is the judge in the tests and nothing else."""
    code = (
        "import sys, openlineage_bridge_datahub, openlineage_bridge_datahub.sinks.file, "
        "openlineage_bridge_datahub.sinks.rest\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('datahub', 'requests', 'pydantic')])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"
