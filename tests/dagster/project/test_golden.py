"""The golden project under a real ``dagster dev``: everything that happens to its runs is told, as written by hand."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(find_spec("dagster_webserver") is None, reason="dagster-webserver is not installed"),
]

JOBS = {
    "night": "nightly",
    "gate": "gating",
    "raising check": "checking",
    "observation": "observing",
    "attempts": "attempts",
    "shapes": "shapes",
    "worker dies": "crashing",
    "no resource": "unequipped",
    "no resource in a step, a step's process dies": "unequipped_steps",
    "telling": "telling",
}
"""Runs that nobody has to do anything to: case, and job."""

BOUND = 500.0
"""Seconds that all runs may take on a busy machine, and their lineage after them."""


@contextmanager
def dagster_dev(home, ui, port, url):
    """Webserver, daemon and code server; somebody before the UI."""
    arguments = ("dev", "-w", home.workspace, "-h", "127.0.0.1", "-p", port)
    with home.running("dagster", *arguments, url=url):
        person = ui.UI(port)
        person.wait_until_loaded()
        yield person


def everything(person, observer):
    """Let everything happen that golden.txt tells of; the observer is a backend that hears of it soon."""
    under_way = person.launch("canceled under way", "waiting")
    person.cancel(person.launch("canceled in the queue", "held"))
    failing = person.launch("again", "again")
    fleeting = person.launch("wiped", "__ASSET_JOB", assets=("fleeting",))
    for case, job in JOBS.items():
        person.launch(case, job)
    person.backfill("days", "daily", "2026-11-02", "2026-11-03")
    person.backfill("range", "ranged", "2026-11-02", "2026-11-03", "2026-11-04")
    person.backfill("grid", "grid", "2026-11-03|eu")
    person.report("fragile")
    assert observer.wait_for(
        lambda: any(_is_of(event, "golden.waiting.waits") for event in observer.events), BOUND
    )
    person.cancel(under_way)
    person.wait_for_end(failing, fleeting)
    person.run_again(failing)
    person.wipe("fleeting")


def _is_of(event, job):
    return event.get("job", {}).get("name") == job


def observed(home, ui, backends, golden, port):
    """What the sensor, the tailer and, when all is over, the back-fill say: canonical JSON, and how often."""
    enough = golden.total()
    with backends.running() as sensed, backends.running() as tailed, backends.running() as filled:
        with dagster_dev(home, ui, port, sensed.url) as person, home.observing("tail", url=tailed.url):
            everything(person, tailed)
            for backend in (sensed, tailed):
                backend.wait_for(lambda backend=backend: len(backend.times) >= enough, BOUND)
        home.fill(filled.url)
        return sensed.times, tailed.times, filled.times


@pytest.mark.parametrize("storage", ["sqlite", "postgres"])
def test_what_happens_is_told_as_written_by_hand(request, storage, ui, backends, told, golden, free_port):
    """Type, job, parent, inputs, outputs and marks of every event, whoever observes; and one and the same to the byte."""
    home = request.getfixturevalue({"sqlite": "home", "postgres": "postgres_home"}[storage])

    sensed, tailed, filled = observed(home, ui, backends, golden, free_port)

    lines = told.told(sensed)
    assert ([], []) == (sorted((golden - lines).elements()), sorted((lines - golden).elements())), home.logs()
    assert filled.keys() == sensed.keys()
    assert filled.keys() == tailed.keys()
    assert {1} == set(filled.values())
    lives = told.lives(sensed)
    assert 1 == lives.pop(("ABORT",))  # canceled in the queue: it never started
    assert lives.keys() <= {("START", end) for end in ("COMPLETE", "FAIL", "ABORT")}
