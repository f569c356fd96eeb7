"""A replay takes everything in once, whenever it is stopped, in bounded memory, and only what was asked for."""

from __future__ import annotations

import gzip
import json
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge import replay as module
from openlineage_bridge.events import NO_TIME, parse
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.receivers import content, files
from openlineage_bridge.receivers.files import Reading, events_in
from openlineage_bridge.receivers.sources import find
from openlineage_bridge.replay import replay
from openlineage_bridge.selection import Rhythm, Selection
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY


@pytest.fixture
def store():
    with Store(MEMORY) as store:
        yield store


@pytest.fixture
def pipeline(store, plain):
    return Pipeline(store, plain.PlainTranslator())


@pytest.fixture
def written(tmp_path, world):
    """Writes events numbered from 0, one a line; gives the path."""

    def write(count, name="events.jsonl", pack=bytes, separator=b"\n"):
        path = tmp_path / name
        lines = [world.encoded(world.run_event(f"job{number}", number, number)) for number in range(count)]
        path.write_bytes(pack(separator.join(lines) + b"\n"))
        return path

    return write


def stored(store) -> list[str]:
    """Names of the jobs in the inbox, in order of arrival."""
    rows = store.connection.execute("SELECT body FROM inbox ORDER BY seq")
    return [json.loads(body)["job"]["name"] for (body,) in rows]


def all_of(store, pipeline, *paths, **asked):
    *_, tally = replay(find([str(path) for path in paths]), store, pipeline, **asked)
    return tally


# --- interrupted ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("separator", [b"\n", b",\n", b"\n\n  "], ids=["lines", "array", "blank"])
@pytest.mark.parametrize("stop", [1, 2, 5])
def test_goes_on_where_it_was(store, pipeline, written, monkeypatch, pack, separator, stop):
    """After an interruption no event is looked at again and none is left out, whatever the shape of the file."""
    monkeypatch.setattr(module, "BATCH", 3)
    around = (b"[\n", b"]\n") if separator == b",\n" else (b"", b"")
    path = written(20, pack=lambda lines: pack(around[0] + lines + around[1]), separator=separator)
    interrupted = replay(find([str(path)]), store, pipeline)
    for _ in range(stop):
        next(interrupted)
    interrupted.close()
    tally = all_of(store, pipeline, path)

    assert [f"job{number}" for number in range(20)] == stored(store)
    assert (stop * 3, 20 - stop * 3, 0) == (tally.reading.before, tally.new, tally.known)


def test_goes_on_in_the_file_where_it_was(store, pipeline, written, monkeypatch):
    """Of several files those that were read are passed over."""
    monkeypatch.setattr(module, "BATCH", 3)
    paths = [written(5, f"{name}.jsonl") for name in "ab"]
    interrupted = replay(find(map(str, paths)), store, pipeline)
    next(interrupted)
    next(interrupted)
    interrupted.close()
    tally = all_of(store, pipeline, *paths)

    assert (6, 4) == (tally.reading.before, tally.events)
    assert 2 == tally.reading.files


def test_starts_over_in_a_file_that_was_changed(store, pipeline, written, monkeypatch):
    """A line that was mended before the place where reading stopped is read: the place is one of other content."""
    monkeypatch.setattr(module, "BATCH", 3)
    path = written(9)
    interrupted = replay(find([str(path)]), store, pipeline)
    next(interrupted)
    interrupted.close()
    path.write_bytes(path.read_bytes().replace(b'"job1"', b'"mend"'))
    tally = all_of(store, pipeline, path)

    assert (0, 7, 2) == (tally.reading.before, tally.new, tally.known)
    assert "mend" in stored(store)


def test_goes_on_in_a_file_that_grew(store, pipeline, written, monkeypatch):
    """What was read is still what it begins with."""
    monkeypatch.setattr(module, "BATCH", 3)
    path = written(4)
    interrupted = replay(find([str(path)]), store, pipeline)
    next(interrupted)
    interrupted.close()
    written(6)
    tally = all_of(store, pipeline, path)

    assert (3, 3, 0) == (tally.reading.before, tally.new, tally.known)


def test_starts_over_when_something_else_is_asked_for(store, pipeline, written, monkeypatch):
    """What one selection passed over, another may want."""
    monkeypatch.setattr(module, "BATCH", 3)
    path = written(9)
    interrupted = replay(find([str(path)]), store, pipeline, selection=Selection(jobs=("job8",)))
    next(interrupted)
    interrupted.close()
    tally = all_of(store, pipeline, path)

    assert (0, 9) == (tally.reading.before, tally.new)


def test_refusals_before_an_interruption_count(store, pipeline, tmp_path, monkeypatch):
    """A replay that goes on tells of everything that was refused, so that its exit code does."""
    monkeypatch.setattr(module, "BATCH", 2)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'nonsense\n{"job": {"namespace": "n", "name": "j"}}\n{"job": {}}\n')
    interrupted = replay(find([str(path)]), store, pipeline)
    next(interrupted)
    interrupted.close()
    tally = all_of(store, pipeline, path)

    assert (2, 1, 2) == (tally.reading.before, tally.events, tally.refused)


def test_an_end_forgets_its_places(store, pipeline, written):
    """The next replay starts over and finds everything known."""
    path = written(5)
    all_of(store, pipeline, path)
    tally = all_of(store, pipeline, path)

    assert (0, 5) == (tally.reading.before, tally.known)
    assert [] == store.connection.execute("SELECT * FROM positions").fetchall()


def test_a_line_of_several_events_is_taken_whole(store, pipeline, tmp_path, world, monkeypatch):
    """Stopped inside an array on one line, reading goes on before that line: nothing of it is left out."""
    monkeypatch.setattr(module, "BATCH", 2)
    three = [world.run_event(f"job{number}", number, number) for number in range(3)]
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        world.encoded(world.run_event("first")) + b"\n" + json.dumps(three).encode() + b"\n" + b"{}\n"
    )
    interrupted = replay(find([str(path)]), store, pipeline)
    next(interrupted)
    interrupted.close()
    tally = all_of(store, pipeline, path)

    assert ["first", "job0", "job1", "job2"] == stored(store)
    assert (1, 1, 2, 1) == (tally.reading.before, tally.known, tally.new, tally.rejected.count)


@given(
    st.lists(
        st.sampled_from([b'{"job": {"namespace": "n", "name": "%d"}}', b"", b"no", b"[]", b"{"]), max_size=12
    ),
    st.sampled_from(["lines", "array"]),
    st.integers(0, 12),
)
def test_any_file_from_any_place(tmp_path_factory, lines, shape, stop):
    """Reading on from the position of any event gives what was not given, to the byte and the line."""
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    body = [line % index if b"%d" in line else line for index, line in enumerate(lines)]
    path.write_bytes(b"\n".join(body) if shape == "lines" else b"[\n" + b",\n".join(body) + b"\n]\n")
    whole = [(each.where, each.body) for each in events_in(find([str(path)]))]
    position = None
    for _, found in zip(range(stop), events_in(find([str(path)])), strict=False):
        position = found.file.position
    rest = [(each.where, each.body) for each in events_in(find([str(path)]), Reading(), lambda _: position)]

    assert whole[min(stop, len(whole)) :] == rest


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    """An array of any length on one line is taken apart piece by piece; only what is looked at is held."""
    monkeypatch.setattr(files, "HEAD", 4096)
    monkeypatch.setattr(content, "CHUNK", 4096)
    event = json.dumps({"job": {"namespace": "n", "name": "j" * 500}}).encode()
    path = tmp_path / "events.json"
    path.write_bytes(b"[" + b", ".join([event] * 4000) + b"]")
    held = [(found.body, len(found.file._content.data)) for found in events_in(find([str(path)]))]

    assert [event] * 4000 == [body for body, _ in held]
    assert max(size for _, size in held) < 5 * 4096


@pytest.mark.parametrize("shape", ["lines", "documents"])
def test_what_is_too_long_is_left_out(tmp_path, monkeypatch, shape):
    """One line costs no other; of documents without an end the rest is left out. Both are said."""
    monkeypatch.setattr(files, "HEAD", 500)
    monkeypatch.setattr(content, "MOST_BYTES", 10_000)
    monkeypatch.setattr(content, "CHUNK", 1000)
    event = b'{"job": {"namespace": "n", "name": "j"}}'
    long = b'{"x": "' + b"y" * 30_000 + b'"'
    path = tmp_path / "events.json"
    path.write_bytes(
        b"%s\n%s}\n%s\n" % (event, long, event) if shape == "lines" else b"[\n%s,\n%s" % (event, long)
    )
    reading = Reading()
    found = [each.body for each in events_in(find([str(path)]), reading)]

    assert [event] * (2 if shape == "lines" else 1) == found
    assert [True] == [f"line {2 if shape == 'lines' else 3} " in problem for problem in reading.problems]


def test_another_kind_of_file(tmp_path):
    """A picture that lies in the folder is refused once, not line by line."""
    path = tmp_path / "picture.json"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4000)
    reading = Reading()

    assert 1 == len(list(events_in(find([str(path)]), reading)))
    assert [f"{path}: neither JSON lines nor JSON documents; the rest is left out"] == reading.problems


def test_documents_one_behind_another(tmp_path):
    """As ``jq .`` prints many events: each with the line where it starts."""
    path = tmp_path / "events.json"
    events = [{"job": {"namespace": "n", "name": 'a "quoted" \\ {name} ['}}, {"a": ["]", "\\"]}, {}]
    path.write_text("\n".join(json.dumps(each, indent=2) for each in events))
    found = list(events_in(find([str(path)])))

    assert events == [json.loads(each.body) for each in found]
    assert [f"{path}:1", f"{path}:7", f"{path}:13"] == [each.where for each in found]


# --- what is asked for ----------------------------------------------------------------------------------------------


def moment(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Selection(), "abcd"),
        (Selection(since=moment("2024-01-01T00:00:01")), "bc"),
        (Selection(until=moment("2024-01-01T00:00:01")), "a"),
        (
            Selection(since=moment("2024-01-01T00:00:01"), until=moment("2024-01-01T00:00:02")),
            "b",
        ),
        (Selection(namespaces=("ns",)), "abd"),
        (Selection(namespaces=("db*", "nothing")), "c"),
        (Selection(jobs=("flow.*",)), "bd"),
        (Selection(namespaces=("ns",), jobs=("flow",)), "a"),
    ],
)
def test_selection(world, asked, expected):
    """By time (the end excluded), namespace and job, all of which must fit; patterns may be used."""
    events = {
        "a": world.run_event("flow", 0, 0),
        "b": world.run_event("flow.load", 0, 1),
        "c": world.dataset_event("t", 2),
        "d": world.run_event("flow.late") | {"eventTime": None},
    }

    assert expected == "".join(
        key for key, event in events.items() if asked.wants(parse(world.encoded(event)))
    )


def test_selections_are_told_apart():
    """By everything that they say."""
    said = [
        Selection(),
        Selection(since=1),
        Selection(until=1),
        Selection(jobs=("a",)),
        Selection(namespaces=("a",)),
    ]

    assert len(said) == len({each.key for each in said})
    assert Selection(jobs=("a",)).key == Selection(jobs=("a",)).key


def test_replay_of_a_selection(store, pipeline, written):
    """What was not asked for is counted and not stored."""
    tally = all_of(store, pipeline, written(12), selection=Selection(jobs=("job1*",)))

    assert ["job1", "job10", "job11"] == stored(store)
    assert (3, 9, 12) == (tally.new, tally.left_out, tally.events)


# --- rhythm ---------------------------------------------------------------------------------------------------------


def test_rhythm():
    """An event is due when its time has come, so many times as fast; one that is late is due now."""
    now = iter([100.0, 100.0, 100.5, 103.0, 103.0])
    rhythm = Rhythm(60, clock=lambda: next(now))

    assert 0.0 == rhythm.wait(7_000_000)
    assert 1.5 == rhythm.wait(7_000_000 + 120_000_000)
    assert 0.0 == rhythm.wait(7_000_000 + 60_000_000)
    assert 0.0 == rhythm.wait(NO_TIME)


def test_replay_in_rhythm(store, pipeline, written, monkeypatch):
    """What came before is in while it waits for an event that is not due."""
    slept = []
    monkeypatch.setattr(
        module.time, "sleep", lambda seconds: slept.append((round(seconds, 1), len(stored(store))))
    )
    monkeypatch.setattr(sys.modules[Rhythm.__module__].time, "monotonic", lambda: 0.0)
    all_of(store, pipeline, written(3), rhythm=Rhythm(0.5, clock=lambda: 0.0))

    assert [(2.0, 1), (4.0, 2)] == slept
    assert ["job0", "job1", "job2"] == stored(store)
