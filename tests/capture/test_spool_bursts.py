"""The spool's sender rests between requests, and what many events have in common is encoded once."""

from __future__ import annotations

import json

import pytest
from bridge_tests.emitting import event
from bridge_tests.spooling import emit, numbered
from bridge_tests.waiting import wait_until
from openlineage.client.facet_v2 import documentation_job
from openlineage.client.serde import Serde

from openlineage_bridge_capture.spool import SpoolFullError, encoding, sender
from openlineage_bridge_capture.spool.encoding import fixed, to_line
from openlineage_bridge_capture.spool.gathering import Gathering
from openlineage_bridge_capture.spool.segments import Appender, Backlog, Claim

pytestmark = pytest.mark.usefixtures("unconfigured")

AN_HOUR = 3_600.0


def test_after_a_request_that_was_not_full_events_come_together_unless_somebody_waits(
    receiver, spool, monkeypatch
):
    monkeypatch.setattr(sender, "REST", AN_HOUR)
    transport = spool()
    emit(transport, "first")
    wait_until(lambda: receiver.jobs)
    emit(transport, *numbered(50))
    assert ["first"] == receiver.jobs
    assert transport.flush(20)
    assert (["first", *numbered(50)], 2) == (receiver.jobs, len(receiver.requests))


def test_without_anybody_waiting_they_are_sent_after_the_rest(receiver, spool, monkeypatch):
    monkeypatch.setattr(sender, "REST", 0.05)
    transport = spool()
    for name in numbered(3):
        emit(transport, name)
        wait_until(lambda name=name: name in receiver.jobs)
    assert numbered(3) == receiver.jobs


def test_a_receiver_that_takes_single_events_is_not_kept_waiting(receiver, spool, monkeypatch):
    """Nor is one that takes batches, as long as they are full: resting is for those who have nothing to do."""
    monkeypatch.setattr(sender, "REST", AN_HOUR)
    receiver.mode = "single"
    transport = spool()
    emit(transport, *numbered(30))
    wait_until(lambda: len(receiver.jobs) == 30)


def test_a_request_that_holds_as_many_bytes_as_it_may_is_followed_by_the_next_at_once(
    receiver, spool, monkeypatch
):
    """It may have room for more events then, and a backlog of large ones would be sent a request a second."""
    lines = [to_line(event(name)) for name in numbered(12)]
    monkeypatch.setattr(sender, "REST", AN_HOUR)
    monkeypatch.setattr(sender, "BATCH_BYTES", sum(map(len, lines[:4])))
    spool().append(b"".join(lines))
    wait_until(lambda: len(receiver.jobs) == 12)
    assert (numbered(12), 3) == (receiver.jobs, len(receiver.requests))


def test_what_is_gathered_is_written_together_and_what_does_not_fit_is_told(spool):
    """The limit is one for all of the transport's events: those that fit are kept, in their order."""
    room = 3 * len(to_line(event("job-0"))) + 10
    gathering = Gathering(spool(url="http://127.0.0.1:9", max_bytes=room + 200))
    for name in numbered(6):
        gathering.emit(event(name))
    kept, errors = gathering.write()
    assert (6, {SpoolFullError}) == (kept + len(errors), {type(error) for error in errors})
    assert 1 <= kept < 6
    assert (0, []) == gathering.write()


def test_how_far_was_sent_is_known_to_the_process_although_the_disk_takes_no_note(tmp_path):
    claim = Claim.make(tmp_path)
    Appender(claim).append(b"a\nb\n")
    backlog = Backlog(claim)
    _, [after_a, _] = backlog.peek(10, 1000)
    # A folder in the way of the file, which no user can write over.
    (claim.folder / "offset.new").mkdir()
    backlog.commit(after_a)
    assert [b"b"] == backlog.peek(10, 1000)[0]
    assert [b"a", b"b"] == Backlog(claim).peek(10, 1000)[0]


def test_what_is_fixed_is_encoded_once_and_everything_else_as_it_is_now():
    told = documentation_job.DocumentationJobFacet("a")
    known = fixed(documentation_job.DocumentationJobFacet("a"))
    made = event("job")
    made.job.facets = {"told": told, "known": known}
    assert json.loads(Serde.to_json(made)) == json.loads(to_line(made))
    told.description = known.description = "b"
    facets = json.loads(to_line(made))["job"]["facets"]
    assert ("b", "a") == (facets["told"]["description"], facets["known"]["description"])


def test_no_more_than_so_many_texts_are_remembered(monkeypatch):
    """One that was forgotten is encoded anew."""
    monkeypatch.setattr(encoding, "MAX_FIXED", 10)
    monkeypatch.setattr(encoding, "_fixed", {})
    facets = [fixed(documentation_job.DocumentationJobFacet(str(number))) for number in range(20)]
    lines = [to_line(facet) for facet in facets]
    assert 10 == len(encoding._fixed)
    assert [str(number) for number in range(20)] == [json.loads(line)["description"] for line in lines]
