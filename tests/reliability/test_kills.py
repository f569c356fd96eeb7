"""A bridge that is killed, and one that is stopped, while senders are at it: no acknowledged event is ever lost (G01, G17)."""

from __future__ import annotations

import random
import signal
import threading

import pytest
from bridge_tests.waiting import wait_until

from openlineage_bridge.service import Service
from openlineage_bridge.store.status import Queries
from openlineage_bridge.translation import MemorySink, load_translator

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(600)]

KILLS, STOPS, SENDERS = 60, 8, 8


def test_kill(bridge, under_load, ledger):
    """``kill -9``, round after round: every event that was acknowledged is stored, processed and delivered (G01)."""
    random_, acknowledged = random.Random(1), set()
    bridge.warm_up()
    for _ in range(KILLS):
        with under_load(bridge, SENDERS) as senders:
            threading.Event().wait(random_.uniform(0.06, 0.2))
            bridge.kill()
        acknowledged |= {run for each in senders for run in each.acknowledged}
        lost = acknowledged - bridge.runs
        ledger.note("G01", kills=1)
        assert not lost
        bridge.start()
    assert 0 == bridge.stop()
    ledger.note("G01", acknowledged=len(acknowledged), lost=0)

    sink = MemorySink()
    service = Service(bridge.store, load_translator("datahub", {}), sink)
    try:
        wait_until(lambda: bridge.settled, 120)
    finally:
        service.close()
    assert not Queries(bridge.store).status()["quarantine_events"]
    delivered = {each.urn for each in sink.sent if each.urn.startswith("urn:li:dataProcessInstance:")}
    assert len(delivered) >= len(acknowledged)
    ledger.note("G01", delivered=len(delivered))


def test_stop(bridge, under_load, ledger):
    """SIGTERM under load: requests that have begun are answered, the process ends by itself, and nothing is lost (G17)."""
    random_, acknowledged = random.Random(2), set()
    bridge.warm_up()
    for _ in range(STOPS):
        with under_load(bridge, SENDERS) as senders:
            threading.Event().wait(random_.uniform(0.05, 0.3))
            code = bridge.stop()
        acknowledged |= {run for each in senders for run in each.acknowledged}
        statuses = {status for each in senders for status in each.answers}
        assert (0, set()) == (code, statuses - {200, 503})
        assert not acknowledged - bridge.runs
        bridge.start()
    ledger.note("G17", stops=STOPS, acknowledged=len(acknowledged), lost=0)


def test_second_signal(bridge, under_load, ledger):
    """Two SIGTERMs end it at once, and what was acknowledged is there (G17)."""
    with under_load(bridge, SENDERS) as senders:
        wait_until(lambda: all(each.acknowledged for each in senders))
        process = bridge.process
        process.send_signal(signal.SIGTERM)
        bridge.stop()
    acknowledged = {run for each in senders for run in each.acknowledged}

    assert not acknowledged - bridge.runs
    ledger.note("G17", immediate_stops=1)
