"""The file is a JSON array after every send, whatever happened before."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.translation import Delivered, Retry
from openlineage_bridge_datahub.sinks.file import FileSink


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out" / "proposals.json"


def urns(path):
    return [each["entityUrn"] for each in json.loads(path.read_bytes())]


def send(path, proposals):
    sink = FileSink(path)
    try:
        return sink.send(proposals)
    finally:
        sink.close()


def test_the_array_is_valid_after_every_send(path, proposals):
    """Opened, sent, opened again: always a document, and every proposal once, in order."""
    sent = proposals(6)
    sink = FileSink(path)
    documents = [json.loads(path.read_bytes())]
    for part in (sent[:1], sent[1:3], []):
        assert sink.send(part) == [Delivered()] * len(part)
        documents.append(json.loads(path.read_bytes()))
    sink.close()
    send(path, sent[3:])

    assert [len(each) for each in documents] == [0, 1, 3, 3]
    assert urns(path) == [each.urn for each in sent]


def test_the_form_is_datahubs(path, proposals):
    """A proposal stands there as the `file` source reads it, non-ASCII text as it is."""
    send(path, proposals(1))

    assert json.loads(path.read_bytes()) == [
        {
            "entityType": "dataset",
            "entityUrn": "urn:li:dataset:(urn:li:dataPlatform:s3,b/é0,PROD)",
            "changeType": "UPSERT",
            "aspectName": "status",
            "aspect": {"json": {"removed": False}},
        }
    ]
    assert "é" in path.read_text(encoding="utf-8")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(lost=st.integers(min_value=0, max_value=400), garbage=st.sampled_from([b"", b"\0" * 40]))
def test_a_torn_tail_is_cut_back_to_the_last_whole_proposal(tmp_path, proposals, lost, garbage):
    """Whatever the crash left of the last bytes, opening again gives a document, and nothing whole is lost."""
    file, sent = tmp_path / "torn.json", proposals(3)
    file.unlink(missing_ok=True)
    send(file, sent[:2])
    whole = file.read_bytes()
    file.write_bytes(whole[: max(0, len(whole) - lost)] + garbage)
    survived = [
        each.urn
        for each in sent[:2]
        if json.dumps(each.urn, ensure_ascii=False).encode() in file.read_bytes()
    ]

    send(file, sent[2:])

    actual = urns(file)
    assert actual[-1] == sent[2].urn
    assert actual[:-1] == survived[: len(actual) - 1]
    assert len(survived) - 1 <= len(actual) - 1


def test_a_full_disk_keeps_the_proposals_for_later(path, proposals, monkeypatch):
    """When the disk refuses, the document stays as it was and all are tried again."""
    sink = FileSink(path)
    sink.send(proposals(1))
    real, failures = os.fsync, [OSError(errno.ENOSPC, "No space left on device")]

    def fsync(descriptor):
        if failures:
            raise failures.pop()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    first = sink.send(proposals(3)[1:])
    between = urns(path)
    second = sink.send(proposals(3)[1:])
    sink.close()

    assert [type(each) for each in first] == [Retry, Retry]
    assert "No space left" in first[0].reason
    assert len(between) == 1
    assert second == [Delivered()] * 2
    assert urns(path) == [each.urn for each in proposals(3)]


@pytest.mark.parametrize(
    "content", [b'{"a": 1}\n', b"[\n  {\n    1\n  }\n]\n", b"[1, 2]\n", b"[\n1,\n2\n]\n"]
)
def test_another_programs_file_is_not_touched(path, content):
    """A file of another form is refused and stays as it is."""
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(ConfigError, match="another file"):
        FileSink(path)

    assert content == path.read_bytes()


def rolled(path):
    """What was put aside, in order, and the file itself."""
    return [*sorted(path.parent.glob("proposals-*.json")), path]


def test_a_full_file_is_put_aside(path, proposals):
    """Each is a document of its own, together they hold everything once and in order, and numbers go on after a restart."""
    sent = proposals(12)
    for part in (sent[:6], sent[6:]):
        sink = FileSink(path, most_bytes=400)
        for each in part:
            assert sink.send([each]) == [Delivered()]
        sink.close()
    files = rolled(path)

    assert [each.urn for each in sent] == [urn for file in files for urn in urns(file)]
    assert ["proposals-000001.json", "proposals-000002.json"] == [file.name for file in files[:2]]
    assert len(files) >= 4
    assert all(file.stat().st_size > 400 for file in files[:-1])


def test_one_send_is_never_torn_apart(path, proposals):
    """However large it is; the next one goes into a new file."""
    sink = FileSink(path, most_bytes=1)
    sink.send(proposals(5))
    sink.send(proposals(2))
    sink.close()

    assert [5, 2] == [len(urns(file)) for file in rolled(path)]


def test_rolling_survives_a_folder_that_refuses(path, proposals, monkeypatch):
    """What could not be written is tried again, and in no file twice."""
    sink = FileSink(path, most_bytes=1)
    sink.send(proposals(1))
    real, failures = os.open, [OSError(errno.EMFILE, "Too many open files")]

    def refuse(*arguments):
        if arguments[0] == path and failures:
            raise failures.pop()
        return real(*arguments)

    monkeypatch.setattr(os, "open", refuse)
    first = sink.send(proposals(2)[1:])
    second = sink.send(proposals(2)[1:])
    sink.close()

    assert isinstance(first[0], Retry)
    assert "Too many open files" in first[0].reason
    assert second == [Delivered()]
    assert [each.urn for each in proposals(2)] == [urn for file in rolled(path) for urn in urns(file)]


def test_one_process_writes_at_a_time(path):
    """A second process is refused instead of mixing its lines in."""
    sink = FileSink(path)
    code = "import sys; from openlineage_bridge_datahub.sinks.file import FileSink; FileSink(sys.argv[1])"

    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=False
    )
    sink.close()

    assert done.returncode == 1
    assert "another process" in done.stderr


def test_options(path, tmp_path):
    """The path comes from the configuration; without a usable one nothing starts."""
    sink = FileSink.from_options({"path": str(path), "sink": "file"})
    sink.close()

    assert sink.path == path
    assert sink.destination == f"file://{path}"
    with pytest.raises(ConfigError, match="path"):
        FileSink.from_options({})
    with pytest.raises(ConfigError, match="most_bytes"):
        FileSink.from_options({"path": str(path), "most_bytes": "many"})
    with pytest.raises(ConfigError, match="cannot write"):
        FileSink(tmp_path)
