"""The spool transport: what was emitted is received in its order, and nobody waits for a receiver."""

from __future__ import annotations

import json
import logging
import threading
import time

import pytest
from bridge_tests.emitting import event
from bridge_tests.spooling import emit, numbered
from bridge_tests.waiting import wait_until
from openlineage.client.client import OpenLineageClient

from openlineage_bridge_capture import log
from openlineage_bridge_capture.spool import SpoolError, SpoolFullError, SpoolTransport, sender

pytestmark = pytest.mark.usefixtures("unconfigured")


def rejected(transport: SpoolTransport) -> list[tuple[str, str]]:
    lines = (transport.destination.folder / "rejected.jsonl").read_text().splitlines()
    return [(each["event"]["job"]["name"], each["reason"]) for each in map(json.loads, lines)]


@pytest.mark.parametrize("mode", ["ok", "single", "deaf"])
def test_events_arrive_in_order_and_leave_nothing_behind(receiver, spool, mode):
    """In batches where the receiver knows them, one at a time elsewhere."""
    receiver.mode = mode
    transport = spool()
    emit(transport, *numbered(300))
    assert transport.close(20)
    assert numbered(300) == list(dict.fromkeys(receiver.jobs))
    assert (mode == "ok") == (len(receiver.requests) < 100)
    assert ["destination"] == [path.name for path in transport.destination.folder.iterdir()]


def test_the_client_finds_the_transport_by_its_class_path(receiver, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "openlineage_bridge_capture.spool.SpoolTransport")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", receiver.url)
    monkeypatch.delenv("OPENLINEAGE_BRIDGE_SPOOL_FOLDER")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    client = OpenLineageClient()
    assert not (tmp_path / "openlineage-bridge").exists()
    client.emit(event("job"))
    assert client.close(10)
    assert ["job"] == receiver.jobs
    assert (tmp_path / "openlineage-bridge" / "spool").is_dir()


def test_a_transport_that_was_closed_begins_anew_with_the_next_event(receiver, spool):
    transport = spool()
    emit(transport, "a")
    assert transport.close(10)
    emit(transport, "b")
    assert transport.close(10)
    assert ["a", "b"] == receiver.jobs


def test_refused_events_are_set_aside_with_the_reason_and_the_others_sent(receiver, spool):
    transport = spool()
    emit(transport, "a", "bad-1", "b", "bad-2", "c")
    assert transport.close(10)
    assert ["a", "b", "c"] == receiver.jobs
    reason = 'HTTP 400: {"error": "bad name"}'
    assert [("bad-1", reason), ("bad-2", reason)] == rejected(transport)


@pytest.mark.parametrize("mode", ["hang", "500", "503", "401", "404", "refused"])
def test_with_a_dead_receiver_emit_is_fast_close_is_bounded_and_the_next_process_sends(
    backend, spool, mode, caplog
):
    """The receiver's patience, or the pauses between attempts, would take a minute."""
    log.forget()
    receiver = backend(mode)
    transport = spool(url=receiver.url, timeout=60)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, logger="openlineage_bridge"):
        emit(transport, *numbered(200))
        if mode != "hang":
            wait_until(lambda: "wait in" in caplog.text)
        assert not transport.close(0.5)
    assert time.monotonic() - began < 20
    assert caplog.text.count("wait in") == (mode != "hang")
    [waiting] = transport.destination.waiting()
    assert 200 == waiting.events
    if mode != "refused":
        receiver.mode = "ok"
        receiver.let_go.set()
        wait_until(lambda: not transport.destination.waiting()[0].alive)
        assert spool(url=receiver.url).drain(20)
        assert numbered(200) == receiver.jobs


def test_a_flush_that_ran_out_of_time_opens_the_circuit_until_an_event_gets_through(
    receiver, spool, monkeypatch
):
    monkeypatch.setattr(sender, "BACK_OFF_FIRST", 0.05)
    receiver.mode = "503"
    transport = spool()
    emit(transport, "a")
    began = time.monotonic()
    assert [False, False, False] == [transport.flush(0.3), transport.flush(20), transport.flush(20)]
    assert time.monotonic() - began < 15
    receiver.mode = "ok"
    wait_until(lambda: receiver.jobs)
    emit(transport, "b")
    wait_until(lambda: transport.flush(5))
    assert ["a", "b"] == receiver.jobs


def test_a_flush_tries_at_once_what_a_first_failure_put_off(receiver, spool, monkeypatch):
    monkeypatch.setattr(sender, "BACK_OFF_FIRST", 60)
    receiver.mode = "503"
    transport = spool()
    emit(transport, "a")
    wait_until(lambda: transport._session.sender._failures)
    receiver.mode = "ok"
    assert transport.flush(10)


@pytest.mark.parametrize("when_full", ["raise", "drop"])
def test_at_max_bytes_emit_raises_or_drops_as_told_and_goes_on_once_there_is_room(
    receiver, spool, when_full, monkeypatch, caplog
):
    log.forget()
    monkeypatch.setattr(sender, "BACK_OFF_FIRST", 0.05)
    receiver.mode = "503"
    transport = spool(max_bytes=4000, when_full=when_full)
    if when_full == "raise":
        with pytest.raises(SpoolFullError):
            emit(transport, *numbered(100))
    else:
        emit(transport, *numbered(100))
        assert 0 < transport.dropped < 100
        assert 1 == sum("are dropped" in record.message for record in caplog.records)
    assert 1000 < transport.destination.used() <= 4000
    receiver.mode = "ok"
    wait_until(lambda: transport.flush(5))

    def taken() -> bool:
        try:
            emit(transport, "last")
        except SpoolFullError:
            return False
        return transport.flush(5) and "last" in receiver.jobs

    wait_until(taken)


def test_with_a_hanging_receiver_a_flush_and_the_end_take_the_bound_once(receiver, spool):
    receiver.mode = "hang"
    transport = spool(timeout=30, flush_timeout=0.5)
    emit(transport, "a")
    began = time.monotonic()
    assert [False, False, False] == [transport.flush(), transport.flush(20), transport.close(20)]
    assert time.monotonic() - began < 15


def test_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_do(spool, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    with pytest.raises(SpoolError, match="OPENLINEAGE_BRIDGE_SPOOL_FOLDER"):
        emit(spool(), "a")


def test_fsync_and_gzip_of_single_events_can_be_had(receiver, spool):
    receiver.mode = "single"
    transport = spool(fsync=True, compression="gzip")
    emit(transport, "a", "b")
    assert transport.close(10)
    assert ["a", "b"] == receiver.jobs


def test_threads_may_emit_at_once(receiver, spool):
    transport = spool()
    threads = [
        threading.Thread(target=emit, args=(transport, *(f"{each}-{number}" for number in range(100))))
        for each in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert transport.close(20)
    assert {f"{each}-{number}" for each in range(8) for number in range(100)} == set(receiver.jobs)
    for each in range(8):
        assert [f"{each}-{n}" for n in range(100)] == [
            job for job in receiver.jobs if job.startswith(f"{each}-")
        ]
