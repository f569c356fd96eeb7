"""Which steps a step waited for, as ``jobDependencies``: the order of execution, which is not the flow of data."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from openlineage.client.facet_v2 import RunFacet, job_dependencies_run

from openlineage_bridge_dagster.identity import RunIdentity

ANY_MAPPING = "[?]"
"""What stands for the mapping key in the plan of a run, which is made before the keys are known."""

_MAPPING_KEY = re.compile(r"\[[^\]]*\]")

Attempts = Callable[[str], int]
"""How many attempts of a step the log has told of, by its key; 0 for one that did not run in this run."""


def job_dependencies(run: RunIdentity, step_key: str, attempts: Attempts) -> dict[str, RunFacet]:
    """``jobDependencies`` of a step, as the plan of its run says; none where it waits for nothing.

    The run of an upstream step is named where it is one: not of all the steps that a dynamic output was mapped to, and
    not of a step that an earlier run executed.
    """
    upstream = [_dependency(run, key, attempts) for key in _upstream(run, step_key)]
    if not upstream:
        return {}
    facet = job_dependencies_run.JobDependenciesRunFacet(upstream=upstream, trigger_rule="ALL_SUCCESS")
    return {"jobDependencies": facet}


def _upstream(run: RunIdentity, step_key: str) -> Iterator[str]:
    """Keys of the steps before this one; those mapped by the same dynamic output have its mapping key."""
    planned = run.details.upstream
    mapping = _MAPPING_KEY.search(step_key)
    general = _MAPPING_KEY.sub(ANY_MAPPING, step_key)
    for key in planned.get(step_key) or planned.get(general, ()):
        yield key.replace(ANY_MAPPING, mapping[0]) if mapping else key


def _dependency(run: RunIdentity, key: str, attempts: Attempts) -> job_dependencies_run.JobDependency:
    attempt = attempts(key)
    return job_dependencies_run.JobDependency(
        job=job_dependencies_run.JobIdentifier(namespace=run.namespace, name=run.step_job(key)),
        run=job_dependencies_run.RunIdentifier(run.step_run_id(key, attempt)) if attempt else None,
        dependency_type="DIRECT_INVOCATION",
        sequence_trigger_rule="FINISH_TO_START",
        status_trigger_rule="EXECUTE_ON_SUCCESS",
    )
