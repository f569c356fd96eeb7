"""The spool's parts: lines equal the client's own JSON, segments survive their writer, answers mean what they say."""

from __future__ import annotations

import json
import os
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openlineage.client.event_v2 import Dataset, InputDataset, Job, Run, RunEvent, RunState
from openlineage.client.facet_v2 import error_message_run, schema_dataset
from openlineage.client.serde import Serde

from openlineage_bridge_capture.spool import folders
from openlineage_bridge_capture.spool.config import SpoolConfig
from openlineage_bridge_capture.spool.encoding import to_line
from openlineage_bridge_capture.spool.folders import Destination, Quota, SpoolError, without_credentials
from openlineage_bridge_capture.spool.receiver import (
    Answer,
    Meaning,
    meaning_of_batch,
    meaning_of_single,
    read_summary,
)
from openlineage_bridge_capture.spool.segments import Appender, Backlog, Claim
from openlineage_bridge_capture.spool.sender import BACK_OFF_MOST, back_off


@attrs.define
class Facet:
    """A custom facet that may hold anything."""

    value: object = None


ATOMS = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)
ODD = st.sampled_from([RunState.FAIL, uuid.UUID(int=7), datetime(2024, 1, 1, tzinfo=UTC), Facet(), object])
VALUES = st.recursive(
    ATOMS | ODD,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.builds(Facet, inner)
        | st.tuples(inner, inner)
    ),
)


@given(VALUES)
def test_a_line_is_what_the_clients_serde_would_write(value):
    event = Facet(value)
    assert json.loads(Serde.to_json(event)) == json.loads(to_line(event))


def test_a_real_event_with_facets_is_one_line_and_equals_the_clients_json():
    """Text with line breaks included: they are escaped."""
    columns = [schema_dataset.SchemaDatasetFacetFields("id", "INT")]
    event = RunEvent(
        eventTime="2024-01-01T00:00:00Z",
        eventType=RunState.FAIL,
        run=Run(
            str(uuid.UUID(int=1)), {"errorMessage": error_message_run.ErrorMessageRunFacet("a\nb", "py")}
        ),
        job=Job("ns", "job"),
        inputs=[InputDataset("ns", "t", {"schema": schema_dataset.SchemaDatasetFacet(columns)})],
        outputs=[Dataset("ns", "u")],
    )
    line = to_line(event)
    assert (1, True) == (line.count(b"\n"), line.endswith(b"\n"))
    assert json.loads(Serde.to_json(event)) == json.loads(line)


@given(
    st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8")).map(str.encode), max_size=40),
    st.integers(1, 60),
    st.integers(1, 5),
    st.integers(1, 50),
)
def test_lines_are_read_once_in_order_over_all_segments(tmp_path_factory, lines, segment_bytes, events, size):
    claim = Claim.make(tmp_path_factory.mktemp("spool"))
    appender = Appender(claim, segment_bytes=segment_bytes)
    for line in lines:
        appender.append(line + b"\n")
    appender.close()
    backlog, read = Backlog(claim), []
    while (batch := backlog.peek(events, size))[0]:
        read += batch[0]
        backlog.commit(batch[1][-1])
        backlog = Backlog(claim)
    assert lines == read
    assert appender.position == backlog.position
    claim.delete()
    assert not claim.folder.exists()


def test_segments_that_were_sent_are_deleted_while_the_writer_goes_on(tmp_path):
    claim = Claim.make(tmp_path)
    appender, backlog = Appender(claim, segment_bytes=1), Backlog(claim)
    for _ in range(3):
        appender.append(b"x\n")
        backlog.commit(backlog.peek(1, 1)[1][-1])
    assert ["00000003.jsonl"] == [path.name for path in claim.folder.glob("*.jsonl")]


def test_a_line_that_was_not_finished_is_not_read(tmp_path):
    """Its writer was killed before ``emit`` returned."""
    claim = Claim.make(tmp_path)
    Appender(claim).append(b"whole\n")
    with (claim.folder / "00000001.jsonl").open("ab") as file:
        file.write(b'{"torn": ')
    assert [b"whole"] == Backlog(claim).peek(10, 1000)[0]


def test_a_line_of_which_only_a_part_could_be_written_is_taken_back(tmp_path, monkeypatch):
    claim = Claim.make(tmp_path)
    appender = Appender(claim)
    appender.append(b"first\n")
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr("os.write", lambda descriptor, line: write(descriptor, line[:3]))
        with pytest.raises(OSError, match="3 of 7 bytes"):
            appender.append(b"second\n")
    appender.append(b"third\n")
    assert [b"first", b"third"] == Backlog(claim).peek(10, 1000)[0]


def test_a_folder_has_one_owner_at_a_time(tmp_path):
    claim = Claim.make(tmp_path)
    assert Claim.take(claim.folder) is None
    claim.release()
    taken = Claim.take(claim.folder)
    assert taken is not None
    taken.delete()
    assert Claim.take(claim.folder) is None


def leave(destination: Destination, *lines: bytes) -> Path:
    """What a process leaves that dies: its folder, no longer locked."""
    claim = Claim.make(destination.folder)
    appender = Appender(claim)
    for line in lines:
        appender.append(line)
    appender.close()
    claim.release()
    return claim.folder


def test_a_process_goes_on_where_a_dead_one_stopped_after_its_torn_line(tmp_path):
    """So short processes do not leave a folder each while the receiver is away."""
    destination = Destination(tmp_path)
    folder = leave(destination, b"first\n", b'{"torn')
    claim = destination.claim()
    appender, backlog = Appender(claim), Backlog(claim)
    appender.append(b"second\n")
    read = []
    while lines := (batch := backlog.peek(10, 1000))[0]:
        read += lines
        backlog.commit(batch[1][-1])
    assert (folder, [b"first", b"second"]) == (claim.folder, read)
    assert appender.position == backlog.position


def test_a_folder_in_which_much_waits_or_that_somebody_owns_is_left_to_others(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "CONTINUED_BYTES", 10)
    destination = Destination(tmp_path)
    large = leave(destination, b"more than ten bytes\n")
    alive = Claim.make(tmp_path)
    own = destination.claim()
    assert own.folder not in (large, alive.folder)
    assert [large] == [claim.folder for claim in destination.adopt()]


def test_a_user_without_a_home_gets_no_folder_called_tilde(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpoolError, match="no home"):
        Destination.of(Path("~/.local/state"), "http://h").make("http://h")
    assert [] == list(tmp_path.iterdir())


def test_a_folder_whose_maker_died_before_it_was_locked_is_removed(tmp_path):
    (tmp_path / "00-1-half").mkdir()
    assert [] == list(Destination(tmp_path).adopt())
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "x", "1", "1 b", "\0\0"])
def test_where_the_offset_is_unreadable_everything_is_sent_again(tmp_path, text):
    claim = Claim.make(tmp_path)
    (claim.folder / "offset").write_text(text)
    assert (1, 0) == Backlog(claim).position


@pytest.mark.parametrize(
    ("status", "single", "batch"),
    [
        (200, Meaning.TAKEN, Meaning.TAKEN),
        (204, Meaning.TAKEN, Meaning.TAKEN),
        (301, Meaning.LATER, Meaning.LATER),
        (400, Meaning.REFUSED, Meaning.SINGLY),
        (401, Meaning.LATER, Meaning.LATER),
        (404, Meaning.LATER, Meaning.NO_BATCHES),
        (405, Meaning.LATER, Meaning.NO_BATCHES),
        (413, Meaning.REFUSED, Meaning.SINGLY),
        (415, Meaning.LATER, Meaning.NO_BATCHES),
        (422, Meaning.REFUSED, Meaning.SINGLY),
        (429, Meaning.LATER, Meaning.LATER),
        (500, Meaning.LATER, Meaning.LATER),
        (503, Meaning.LATER, Meaning.LATER),
    ],
)
def test_what_a_status_means(status, single, batch):
    assert (single, batch) == (meaning_of_single(status), meaning_of_batch(status))


FAILED = [{"index": 0, "reason": "bad"}, {"index": 2, "reason": "busy", "retriable": True}]


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (204, b"", Answer(4)),
        (200, b"", None),
        (200, b"{}", None),
        (200, b"[1]", None),
        (200, b'{"summary": {"received": 1}}', None),
        (200, b'{"summary": {"received": 4}, "failed_events": []}', Answer(4)),
        (
            200,
            json.dumps({"summary": {"received": 4}, "failed_events": FAILED[:1]}).encode(),
            Answer(4, ((0, "bad"),)),
        ),
        (
            200,
            json.dumps({"summary": {"received": 4}, "failed_events": FAILED}).encode(),
            Answer(2, ((0, "bad"),), "the receiver asks for it again: busy"),
        ),
    ],
)
def test_what_a_batch_answer_says_of_each_event(status, body, answer):
    assert answer == read_summary(status, body, 4)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waiting_grows_and_stays_within_its_cap(failures, chance):
    assert 0.25 <= back_off(failures, chance) <= BACK_OFF_MOST
    assert back_off(failures, chance) <= back_off(failures + 1, chance)


def test_a_quota_grants_what_is_free_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(Quota, "LOOK_INTERVAL", 0.0)
    quota = Quota(Destination(tmp_path), 100)
    (tmp_path / "file").write_bytes(b"x" * 90)
    assert [True, True, False] == [quota.take(5), quota.take(5), quota.take(91)]
    (tmp_path / "file").unlink()
    assert quota.take(91)


def test_folders_may_vanish_while_they_are_counted(tmp_path):
    """Another process has sent what was in them."""
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            claim = Claim.make(tmp_path)
            Appender(claim).close()
            claim.delete()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(300):
            Destination(tmp_path).used()
            Destination(tmp_path).waiting()
    finally:
        stop.set()
        thread.join()
    assert 0 == Destination(tmp_path).used()


def test_settings_come_from_the_section_and_else_from_the_clients_plain_variables(monkeypatch):
    monkeypatch.setenv("OPENLINEAGE_URL", "http://env")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "key")
    config = SpoolConfig.from_dict({"type": "any", "folder": "/f", "max_bytes": "5", "fsync": "true"})
    assert ("http://env", "Bearer key") == (config.http.url, config.http.auth.get_bearer())
    assert ("/f", 5, True) == (str(config.folder), config.max_bytes, config.fsync)
    assert "http://own" == SpoolConfig.from_dict({"url": "http://own"}).http.url


def test_a_url_is_noted_without_credentials():
    assert "https://host:1/path" == without_credentials("https://user:secret@host:1/path?token=x")
