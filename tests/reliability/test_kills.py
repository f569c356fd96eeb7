"""A bridge that is killed, and one that is stopped, while senders are at it: no acknowledged event is ever lost (G01, G17)."""

from __future__ import annotations

import random
import signal
import threading
from contextlib import closing

import pytest
from bridge_tests.waiting import wait_until

from openlineage_bridge.service import Service
from openlineage_bridge.store.database import open_readonly
from openlineage_bridge.store.status import Queries
from openlineage_bridge.translation import MemorySink, load_translator

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(600)]

KILLS, STOPS, SENDERS = 60, 8, 8


def stored(path) -> set[str]:
    """The runs whose events the store holds."""
    with closing(open_readonly(path)) as reader:
        return {row[0] for row in reader.execute("SELECT json_extract(body, '$.run.runId') FROM inbox")}


def test_kill(bridge, under_load, ledger):
    """``kill -9``, round after round: every event that was acknowledged is stored, processed and delivered (G01)."""
    random_, acknowledged = random.Random(1), set()
    for _ in range(KILLS):
        bridge.warm_up()
        with under_load(bridge, SENDERS) as senders:
            threading.Event().wait(random_.uniform(0.06, 0.2))
            bridge.kill()
        acknowledged |= {run for each in senders for run in each.acknowledged}
        lost = acknowledged - stored(bridge.store)
        ledger.note("G01", kills=1)
        assert not lost
        bridge.start()
    assert 0 == bridge.stop()
    ledger.note("G01", acknowledged=len(acknowledged), lost=0)

    sink = MemorySink()
    service = Service(bridge.store, load_translator("datahub", {}), sink)
    try:
        wait_until(lambda: _settled(bridge.store), 120)
    finally:
        service.close()
    delivered = {each.urn for each in sink.sent if each.urn.startswith("urn:li:dataProcessInstance:")}
    assert len(delivered) >= len(acknowledged)
    ledger.note("G01", delivered=len(delivered))


def _settled(store) -> bool:
    figures = Queries(store).status()
    return not (figures["inbox_events"] or figures["outbox_aspects"] or figures["quarantine_events"])


def test_stop(bridge, under_load, ledger):
    """SIGTERM under load: requests that have begun are answered, the process ends by itself, and nothing is lost (G17)."""
    random_, acknowledged = random.Random(2), set()
    for _ in range(STOPS):
        bridge.warm_up()
        with under_load(bridge, SENDERS) as senders:
            threading.Event().wait(random_.uniform(0.05, 0.3))
            code = bridge.stop()
        acknowledged |= {run for each in senders for run in each.acknowledged}
        statuses = {status for each in senders for status in each.answers}
        assert (0, set()) == (code, statuses - {200, 503})
        assert not acknowledged - stored(bridge.store)
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

    assert not acknowledged - stored(bridge.store)
    ledger.note("G17", immediate_stops=1)
