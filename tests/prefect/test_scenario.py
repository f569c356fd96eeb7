"""Which events everything emits that a Prefect run can do, under a real server, a task worker, a process worker and ``serve()``."""

from __future__ import annotations

import pytest
from bridge_tests import prefect_golden

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


def test_every_run_has_the_events_of_the_golden(scenario, can) -> None:
    """No run more, none less; each has its events in their order, and the parent and root that it really has."""
    assert prefect_golden.scenario(can) == prefect_golden.told(scenario.events)


def test_every_process_ends_as_it_would_without_us(scenario, can) -> None:
    """The exit codes are those of the user's own ``sys.exit``, exceptions and signals."""
    expected = {name: script.returncode for name, script in prefect_golden.scripts(can).items()}

    assert expected == scenario.returncodes


def test_all_events_of_a_run_agree_about_job_parent_and_root(scenario) -> None:
    """Whichever process told them."""
    runs = prefect_golden.by_run(scenario.events)
    contradictory = {
        run_id: families
        for run_id, events in runs.items()
        if len(families := {prefect_golden.family(event) for event in events}) > 1
    }

    assert not contradictory
