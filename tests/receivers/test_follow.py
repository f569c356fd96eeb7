"""Files that grow, are rotated, truncated and deleted: each of their events is once in the inbox (G20)."""

from __future__ import annotations

import gzip
import itertools
import json
import tempfile
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path

import pytest
from bridge_tests.waiting import wait_until
from hypothesis import given, settings
from hypothesis import strategies as st

from openlineage_bridge.errors import RetryLater
from openlineage_bridge.receivers import follow
from openlineage_bridge.receivers.follow import Follower
from openlineage_bridge.service import Service
from openlineage_bridge.store import Store
from openlineage_bridge.store.status import Queries
from openlineage_bridge.store.writer import Writer


class Killed(Exception):  # noqa: N818  - named after what happened
    """What a test puts in the place of ``kill -9``."""


class Inbox:
    """The inbox of a store in memory; ``fails`` makes the next acceptance end so, before or after its commit."""

    def __init__(self) -> None:
        self.writer = Writer(lambda: Store(":memory:"))
        self.fails: Exception | None = None
        self.committed = False

    def accept(self, bodies, receiver, position):
        failure, self.fails = self.fails, None
        if failure and not self.committed:
            return failed(failure)
        receipts = self.writer.accept(bodies, receiver, position)
        if failure:
            receipts.result()
            return failed(failure)
        return receipts

    def reached(self, reader, source):
        return self.writer.run(lambda store: store.positions.get(reader, source))

    def query(self, sql: str) -> list:
        rows = self.writer.run(lambda store: store.connection.execute(sql).fetchall()).result()
        return [row[0] for row in rows]

    def close(self) -> None:
        self.writer.close()

    @property
    def names(self) -> list[str]:
        """The events, by the name of their job, in order of arrival."""
        return self.query("SELECT json_extract(body, '$.job.name') FROM inbox ORDER BY seq")

    @property
    def refused(self) -> list[bytes]:
        return self.query("SELECT body FROM quarantine")


def failed(error: Exception) -> Future:
    future: Future = Future()
    future.set_exception(error)
    return future


def event(name: object) -> bytes:
    return json.dumps({"job": {"namespace": "n", "name": f"{name}"}, "inputs": []}).encode()


@pytest.fixture
def inbox():
    inbox = Inbox()
    yield inbox
    inbox.close()


@pytest.fixture
def follower(inbox, tmp_path, monkeypatch):
    """A follower of ``events.jsonl``, which looks when it is told to, and for which everything is quiet at once."""
    monkeypatch.setattr(follow, "QUIET", 0.0)
    return Follower(inbox, [tmp_path / "events.jsonl"])


@pytest.fixture
def file(tmp_path):
    return tmp_path / "events.jsonl"


def append(file: Path, data: bytes) -> None:
    with file.open("ab") as opened:
        opened.write(data)


def test_growing_file(inbox, follower, file):
    """Nothing is there at first; then lines come one by one, and each is taken once."""
    assert 0 == follower.turn()
    for name in ("a", "b", "c"):
        append(file, event(name) + b"\n")
        assert (1, 0) == (follower.turn(), follower.turn())

    assert ["a", "b", "c"] == inbox.names


@pytest.mark.parametrize("cut", range(1, len(event("b")) + 1))
def test_partial_last_line(inbox, follower, file, cut):
    """Wherever a line is cut when it is looked at, it is taken when it is complete, and never in parts."""
    append(file, event("a") + b"\n" + event("b")[:cut])
    follower.turn()
    append(file, event("b")[cut:] + b"\n" + event("c") + b"\n")
    follower.turn()

    assert (["a", "b", "c"], []) == (inbox.names, inbox.refused)


def test_last_line_without_an_end(inbox, file, monkeypatch):
    """Is taken once it is complete and nothing has been written for a while."""
    follower = Follower(inbox, [file])
    append(file, event("a") + b"\n" + event("b"))
    assert (1, 0) == (follower.turn(), follower.turn())
    monkeypatch.setattr(follow, "QUIET", 0.0)

    assert (1, ["a", "b"]) == (follower.turn(), inbox.names)


def test_rotation(inbox, follower, file, tmp_path):
    """What was written before the file was renamed, and after, and into the new one."""
    append(file, event("a") + b"\n")
    follower.turn()
    append(file, event("b") + b"\n")
    rotated = file.rename(tmp_path / "events.jsonl.1")
    append(rotated, event("c") + b"\n")
    append(file, event("d") + b"\n")
    follower.turn()

    assert ["a", "b", "c", "d"] == inbox.names


def test_rotation_while_nobody_looked(inbox, file, tmp_path, monkeypatch):
    """Twice, with the older one compressed: nothing is missing after the next start, and nothing is there twice."""
    monkeypatch.setattr(follow, "QUIET", 0.0)
    append(file, event("a") + b"\n")
    Follower(inbox, [file]).turn()
    append(file, event("b") + b"\n")
    (tmp_path / "events.jsonl.2.gz").write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    append(tmp_path / "events.jsonl.1", event("c") + b"\n")
    append(file, event("d") + b"\n")
    Follower(inbox, [file]).turn()

    assert ["a", "b", "c", "d"] == sorted(inbox.names)


def test_deleted_file(inbox, follower, file):
    """What was written before it was deleted is read from the open file."""
    append(file, event("a") + b"\n")
    follower.turn()
    append(file, event("b") + b"\n" + event("c")[:5])
    file.unlink()
    follower.turn()
    follower.turn()

    assert (["a", "b"], [event("c")[:5]]) == (inbox.names, inbox.refused)


def test_truncated_file(inbox, follower, file):
    """The beginning is new."""
    append(file, event("a") + b"\n" + event("b") + b"\n")
    follower.turn()
    file.write_bytes(event("c") + b"\n")
    follower.turn()

    assert ["a", "b", "c"] == inbox.names


def test_file_that_was_written_again(inbox, follower, file):
    """As long as before, or longer: it begins otherwise."""
    append(file, event("a") + b"\n")
    follower.turn()
    file.write_bytes(event("b") + b"\n" + event("c") + b"\n")
    follower.turn()

    assert ["a", "b", "c"] == inbox.names


@pytest.mark.parametrize("committed", [False, True])
def test_killed_in_the_commit(inbox, follower, file, committed):
    """Events and position are committed together, or neither is."""
    append(file, b"".join(event(number) + b"\n" for number in range(1200)))
    inbox.fails, inbox.committed = Killed(), committed
    with pytest.raises(Killed):
        follower.turn()
    again = Follower(inbox, [file])

    assert (700 if committed else 1200) == again.turn()
    assert [f"{number}" for number in range(1200)] == inbox.names


def test_inbox_that_takes_nothing(inbox, follower, file):
    """What was refused for now is offered again."""
    append(file, event("a") + b"\n")
    inbox.fails = RetryLater("full")
    with pytest.raises(RetryLater):
        follower.turn()

    assert (1, ["a"]) == (follower.turn(), inbox.names)


def test_lines_that_are_no_events(inbox, follower, file):
    """Are kept in quarantine; the others are taken."""
    append(file, event("a") + b"\nnonsense\n\n  \n" + event("b") + b"\n")
    follower.turn()

    assert (["a", "b"], [b"nonsense"]) == (inbox.names, inbox.refused)


def test_long_line(inbox, follower, file, monkeypatch):
    """Longer than what is read at once; one beyond all measure is refused."""
    monkeypatch.setattr(follow, "CHUNK", 64)
    monkeypatch.setattr(follow, "MOST_LINE", 1024)
    nonsense = "".join(map(str, range(1000))).encode()
    append(file, event("a") + b"\n" + event("b" * 500) + b"\n" + nonsense + b"\n" + event("c") + b"\n")
    follower.turn()

    assert ["a", "b" * 500, "c"] == inbox.names
    assert nonsense == b"".join(inbox.refused)


def test_folder(inbox, tmp_path, monkeypatch):
    """Documents, arrays, indented JSON, compressed files; what is called otherwise is left alone."""
    monkeypatch.setattr(follow, "QUIET", 0.0)
    (tmp_path / "below").mkdir()
    (tmp_path / "one.json").write_bytes(event("one"))
    (tmp_path / "below" / "indented.json").write_text(json.dumps(json.loads(event("indented")), indent=2))
    (tmp_path / "array.json").write_bytes(b"[\n" + event("array1") + b",\n" + event("array2") + b"\n]\n")
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(event("packed") + b"\n"))
    (tmp_path / "notes.txt").write_bytes(event("notes") + b"\n")
    follower = Follower(inbox, [tmp_path])

    assert (5, 0) == (follower.turn(), follower.turn())
    assert ["array1", "array2", "indented", "one", "packed"] == sorted(inbox.names)
    assert [] == inbox.refused


def test_packed_file_that_is_being_written(inbox, tmp_path, monkeypatch, caplog):
    """What can be unpacked is taken, and said not to be all; the rest comes with the rest of the file."""
    monkeypatch.setattr(follow, "QUIET", 0.0)
    names = [f"{number}" for number in range(2000)]
    packed = gzip.compress(b"".join(event(name) + b"\n" for name in names))
    file = tmp_path / "events.jsonl.gz"
    follower = Follower(inbox, [tmp_path])
    file.write_bytes(packed[: len(packed) // 2])
    assert 0 < follower.turn() < len(names)
    assert "not all of a file can be read" in caplog.messages
    file.write_bytes(packed)
    follower.turn()

    assert names == sorted(inbox.names, key=int)


def test_document_that_is_being_written(inbox, follower, file):
    """Half of an indented document is nothing yet."""
    text = json.dumps(json.loads(event("a")), indent=2).encode()
    for cut in range(1, len(text)):
        if text[:cut].rstrip()[-1:] not in b"}]":
            file.write_bytes(text[:cut])
            assert 0 == follower.turn()
    file.write_bytes(text)

    assert (1, ["a"], []) == (follower.turn(), inbox.names, inbox.refused)


class Life:
    """What happens to a file and to who follows it; the methods are the steps."""

    def __init__(self, file: Path, inbox: Inbox) -> None:
        self.file = file
        self.inbox = inbox
        self.written = 0
        self._rest = b""  # of a line that is not complete yet
        self._rotations = itertools.count(1)
        self.crash()

    def crash(self) -> None:
        self.follower = Follower(self.inbox, [self.file])

    def look(self) -> None:
        self.follower.turn()

    def write(self) -> None:
        append(self.file, self._rest + self._line())
        self._rest = b""

    def write_a_part(self) -> None:
        whole = self._line()
        append(self.file, self._rest + whole[: len(whole) // 2])
        self._rest = whole[len(whole) // 2 :]

    def rotate(self) -> None:
        self.complete()
        self.file.rename(self.file.with_name(f"events.jsonl.{next(self._rotations)}"))

    def truncate(self) -> None:
        self.complete()
        self.look()  # what nobody read before is gone
        self.file.write_bytes(b"")

    def write_again(self) -> None:
        self.truncate()
        self.file.write_bytes(self._line() + self._line() + self._line())

    def killed_before_the_commit(self, *, committed: bool = False) -> None:
        self.inbox.fails, self.inbox.committed = Killed(), committed
        with suppress(Killed):
            self.look()
        self.inbox.fails = None
        self.crash()

    def killed_after_the_commit(self) -> None:
        self.killed_before_the_commit(committed=True)

    def complete(self) -> None:
        append(self.file, self._rest)
        self._rest = b""

    def _line(self) -> bytes:
        self.written += 1
        return event(self.written) + b"\n"


STEPS = (
    Life.crash,
    Life.look,
    Life.write,
    Life.write_a_part,
    Life.rotate,
    Life.truncate,
    Life.write_again,
    Life.killed_before_the_commit,
    Life.killed_after_the_commit,
)


@given(steps=st.lists(st.sampled_from(STEPS), max_size=40))
@settings(max_examples=100)
def test_any_life_of_a_file(steps):
    """Whatever happens to file and follower, in any order: every event once, none in parts, none in quarantine."""
    with (
        closing(Inbox()) as inbox,
        tempfile.TemporaryDirectory() as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(follow, "QUIET", 0.0)
        life = Life(Path(folder, "events.jsonl"), inbox)
        for step in (*steps, Life.complete, Life.look):
            step(life)
        names = sorted(map(int, inbox.names))

        assert (list(range(1, life.written + 1)), []) == (names, inbox.refused)


def test_service_that_follows(tmp_path, plain, file):
    """From a line in a file to the facts, in the background; after a restart it goes on where it was."""
    path = tmp_path / "bridge.db"
    for name in ("a", "b"):
        append(file, event(name) + b"\n")
        service = Service(path, plain.PlainTranslator())
        with Follower(service, [file]):
            wait_until(lambda: name in {each.name for each in Queries(path).search("", 10)})  # noqa: B023  - called at once
        service.close()

    assert 2 == Queries(path).status()["events"]
