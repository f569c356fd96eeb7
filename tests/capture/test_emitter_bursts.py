"""The emitter's thread wakes up seldom: what comes together is built and written together, and who waits is not kept waiting."""

from __future__ import annotations

import threading

import pytest
from bridge_tests.emitting import event, script
from bridge_tests.waiting import wait_until
from openlineage.client.client import OpenLineageClient
from openlineage.client.event_v2 import Job, JobEvent, RunEvent
from openlineage.client.facet_v2 import tags_run
from openlineage.client.transport.transport import Transport

from openlineage_bridge_capture import emitter
from openlineage_bridge_capture.client import background_client
from openlineage_bridge_capture.emitter import BURST, Emitter
from openlineage_bridge_capture.emitter_client import hasten
from openlineage_bridge_capture.spool.segments import Appender

pytestmark = pytest.mark.usefixtures("unconfigured")

AN_HOUR = 3_600.0


@pytest.fixture
def spooled(backend, monkeypatch):
    """An emitter that spools for a receiver, and the receiver."""
    server = backend("ok")
    monkeypatch.setenv("OPENLINEAGE_URL", server.url)
    made = Emitter(connect=background_client)
    yield made, server
    made.close(5)


def hand_over(out: Emitter, names: list[str]) -> None:
    for name in names:
        out.emit(lambda name=name: event(name))


def test_the_first_event_is_kept_at_once_and_those_after_it_in_one_write(spooled, monkeypatch):
    out, server = spooled
    monkeypatch.setattr(emitter, "REST", AN_HOUR)
    writes = []
    append = Appender.append
    monkeypatch.setattr(
        Appender, "append", lambda self, lines: (writes.append(lines.count(b"\n")), append(self, lines))
    )
    hand_over(out, ["first"])
    wait_until(lambda: out.sent == 1)
    hand_over(out, [f"job-{number}" for number in range(50)])
    assert out.flush(20)
    assert [1, 50] == writes
    assert ["first", *(f"job-{number}" for number in range(50))] == server.jobs


def test_a_full_burst_ends_the_rest(spooled, monkeypatch):
    out, _ = spooled
    monkeypatch.setattr(emitter, "REST", AN_HOUR)
    hand_over(out, ["first"])
    wait_until(lambda: out.sent == 1)
    hand_over(out, [f"job-{number}" for number in range(BURST + 1)])
    wait_until(lambda: out.sent > BURST)


def test_who_closes_ends_the_rest(spooled, monkeypatch):
    out, server = spooled
    monkeypatch.setattr(emitter, "REST", AN_HOUR)
    hand_over(out, ["first"])
    wait_until(lambda: out.sent == 1)
    hand_over(out, ["last"])
    assert (1, True, 0) == (out.waiting, out.close(20), out.waiting)
    assert ["first", "last"] == server.jobs


def test_the_end_does_not_wait_once_more_for_what_a_flow_has_waited_for(spooled, monkeypatch):
    """Neither for the emitter's thread, which is stuck, nor for the spool."""
    out, _ = spooled
    given: list[float] = []
    monkeypatch.setattr(emitter, "close_all", given.append)
    gate = threading.Event()
    out.emit(lambda: gate.wait(60) and None)
    assert not out.flush(0.05)
    emitter._close_at_exit(out)
    gate.set()
    assert [0.0] == given


def test_a_burst_that_cannot_be_written_as_a_whole_is_kept_as_far_as_it_goes(spooled, monkeypatch, tmp_path):
    """And what the disk does not take is sent directly: nothing is lost while the receiver is there."""
    out, server = spooled
    append = Appender.append

    def only_one(self: Appender, lines: bytes) -> None:
        if lines.count(b"\n") > 1 or b"unlucky" in lines:
            raise OSError("the disk is full")
        append(self, lines)

    monkeypatch.setattr(Appender, "append", only_one)
    hand_over(out, ["a", "b", "unlucky", "c"])
    assert out.flush(20)
    assert ({"a", "b", "unlucky", "c"}, 4, 0) == (set(server.jobs), out.sent, out.failed)


def test_an_event_that_json_cannot_say_costs_only_itself(spooled, caplog):
    out, server = spooled
    unsayable = event("unsayable")
    unsayable.job.facets = {("a", "pair"): tags_run.TagsRunFacet()}
    for each in (event("a"), unsayable, event("b")):
        out.emit(lambda each=each: each)
    assert out.flush(20)
    assert (["a", "b"], 2, 1) == (server.jobs, out.sent, out.failed)
    assert "it is lost: keys must be str" in caplog.text


def test_what_is_lost_with_the_process_is_counted(backend):
    """Without a spool and with a receiver that hangs, the end does not wait, and says so."""
    body = """
        os.environ["OPENLINEAGE_BRIDGE_SPOOL"] = "off"
        emit("a", "b", "c")
    """
    process = script(body, backend("hang").url)
    _, said = process.communicate(timeout=60)
    assert (0, 1) == (process.returncode, said.count("3 OpenLineage events are lost"))


class Kept(Transport):
    """Keeps what the client makes of events."""

    kind = "kept"

    def __init__(self) -> None:
        self.events: list[object] = []

    def emit(self, event: object) -> None:
        self.events.append(event)


def an_event(**facets: object) -> RunEvent:
    made = event("job")
    made.run.facets = {"other": tags_run.TagsRunFacet(producer="ours"), **facets}
    made.job.facets = {"other": tags_run.TagsRunFacet(producer="ours")}
    return made


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OPENLINEAGE__TAGS__RUN__TEAM": "data"},
        {"OPENLINEAGE__TAGS__JOB__TEAM": "data"},
        {"OPENLINEAGE__FACETS__ENVIRONMENT_VARIABLES": '["HOME"]'},
    ],
)
def test_a_hastened_client_makes_the_same_of_events(monkeypatch, variables):
    """Of events without and with facets and tags of their own, of the second as of the first, of all kinds."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made = []
    for client in (OpenLineageClient(transport=Kept()), hasten(OpenLineageClient(transport=Kept()))):
        own = tags_run.TagsRunFacet(tags=[tags_run.TagsRunFacetFields("team", "sales", "PREFECT")])
        for each in (an_event(), an_event(tags=own), event("bare"), an_event()):
            client.emit(each)
        client.emit(JobEvent(eventTime="2024-01-01T00:00:00Z", job=Job("test", "declared")))
        made.append(client.transport.events)

    assert made[0] == made[1]
