"""A damaged store never starts empty in silence: what can be read goes on in a new one, and nothing is thrown away (G14)."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from itertools import cycle

import pytest

from openlineage_bridge.errors import StorageError
from openlineage_bridge.pipeline import FROM_NOTHING, Pipeline
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import DamagedStore, open_readonly
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.pages import PAGE, Pages
from openlineage_bridge.store.quarantine import quarantined
from openlineage_bridge.store.salvage import damage, mend, set_aside

EVENTS = 40


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bridge.db"


@pytest.fixture
def pipeline(plain):
    return lambda store: Pipeline(store, plain.PlainTranslator())


@pytest.fixture
def derive(pipeline):
    """What ``mend`` has done with the facts that it saved."""
    return lambda store: pipeline(store).retranslate(FROM_NOTHING)


def body(world, number: int) -> bytes:
    """An event; every seventh does not fit on a page."""
    text = {"documentation": {"description": str(number) * (9000 if number % 7 == 0 else 100)}}
    tables = {"inputs": [f"t{number % 5}"], "outputs": [f"t{number % 5 + 1}"]}
    return world.encoded(world.run_event(f"job{number % 4}", number, number % 60, **tables, job_facets=text))


def fill(path, pipeline, world, processed: int = EVENTS) -> None:
    """A store with events, of which some are processed, and something in quarantine."""
    with Store(path) as store:
        with store.transaction():
            bodies = [body(world, number) for number in range(EVENTS)]
            store.inbox.put([*map(inspect, bodies), inspect(b"nonsense")], receiver="test", now=1)
        assert processed == pipeline(store).step(processed) or not processed


def events_in(path) -> dict[bytes, int]:
    """Digest and whether it was processed."""
    with closing(open_readonly(path)) as reader:
        return dict(reader.execute("SELECT digest, done FROM inbox"))


def aspects_in(path) -> set[tuple]:
    with closing(open_readonly(path)) as reader:
        return set(reader.execute("SELECT urn, name, at, digest FROM aspects"))


DAMAGES = {
    "noise": lambda page: random.Random(page).randbytes(PAGE),
    "zeros": lambda page: bytes(PAGE),
    "its head": lambda page: bytes(0xFF ^ byte for byte in page[:16]) + page[16:],
}
"""Ways to damage a page."""

EVERY = pytest.mark.parametrize(
    "every", [pytest.param(1, marks=[pytest.mark.reliability, pytest.mark.timeout(600)]), 17]
)
"""Each page in turn, or some of them."""


@EVERY
def test_any_damaged_page(path, pipeline, derive, world, every):
    """Whichever page is damaged, nothing is lost: a fact comes back with its event, and an event was told as facts."""
    fill(path, pipeline, world)
    sound, before, ways = path.read_bytes(), aspects_in(path), cycle(DAMAGES.values())
    starts = range(0, len(sound), PAGE * every)
    found = 0
    for start in starts:
        page = next(ways)(sound[start : start + PAGE])
        path.write_bytes(sound[:start] + page + sound[start + PAGE :])
        if mend(path, derive) is None:
            continue  # no page that anything leads to
        found += 1
        with Store(path) as store:
            pipeline(store).drain()
        assert before == aspects_in(path), f"page {start // PAGE}"

    assert len(starts) // 2 < found == len(set_aside(path))


@EVERY
def test_damaged_page_of_events_that_wait(path, pipeline, derive, world, every):
    """Only what stood on the page is lost; an event of which a part is left is in quarantine."""
    fill(path, pipeline, world, processed=0)
    sound, before = path.read_bytes(), set(events_in(path))
    for start in range(0, len(sound), PAGE * every):
        path.write_bytes(sound[:start] + b"\xff" * PAGE + sound[start + PAGE :])
        report = mend(path, derive)
        if report is None:
            continue
        here = {
            inspect(each).digest
            for each in (body(world, number) for number in range(EVENTS))
            if start <= sound.find(each[:200]) < start + PAGE or sound.find(each) == -1
        }
        assert before - set(events_in(path)) <= here
        assert report.events == len(events_in(path)) == list(events_in(path).values()).count(0)


def test_half_an_event_is_kept(path, pipeline, derive, world):
    """An acknowledged event whose rest is gone is told of, with the bytes that are left."""
    fill(path, pipeline, world, processed=0)
    data = bytearray(path.read_bytes())
    rest = data.find(b"7" * 2000)
    data[rest : rest + 5] = b"*****"
    data[:16] = bytes(16)
    path.write_bytes(data)
    report = mend(path, derive)

    assert (EVENTS - 1, 2) == (report.events, report.quarantined)
    with closing(open_readonly(path)) as reader:
        [broken] = [each for each in quarantined(reader) if each.failure.error == "DamagedStore"]
    assert b"*****" in broken.body


@pytest.mark.parametrize("size", [1, 100, PAGE, PAGE * 7 + 1000])
def test_truncated_file(path, pipeline, derive, world, size):
    """What stands before the end is saved."""
    fill(path, pipeline, world)
    path.write_bytes(path.read_bytes()[:size])
    report = mend(path, derive)

    assert report
    assert size == report.kept.stat().st_size
    assert 0 == list(events_in(path).values()).count(1)


def test_log_without_its_file(path, pipeline, derive, world):
    """What was committed last stands in the log alone; SQLite would delete it."""
    with Store(path) as store:
        with store.transaction():
            store.inbox.put(
                [inspect(body(world, number)) for number in range(EVENTS)], receiver="test", now=1
            )
        log = path.with_name("bridge.db-wal").read_bytes()
    path.unlink()
    path.with_name("bridge.db-wal").write_bytes(log)

    with pytest.raises(DamagedStore, match="its write-ahead log is there, and the file itself is not"):
        Store(path)
    report = mend(path, derive)
    assert (EVENTS, EVENTS) == (report.events, len(events_in(path)))
    assert log == report.kept.with_name(f"{report.kept.name}-wal").read_bytes()


def test_damaged_log(path, pipeline, derive, world):
    """After a crash the newest events are in the log; a frame that is damaged costs its own page at most."""
    with Store(path) as store:
        for start in range(0, EVENTS, 10):
            bodies = [body(world, number) for number in range(start, start + 10)]
            with store.transaction():
                store.inbox.put(map(inspect, bodies), receiver="test", now=1)
        log, file = path.with_name("bridge.db-wal"), path.read_bytes()
        frames = bytearray(log.read_bytes())
    frames[32 + 24 + 20 : 32 + 24 + 40] = bytes(20)  # in the first frame, which ends the log for SQLite
    path.write_bytes(file)
    log.write_bytes(frames)
    mend(path, derive)

    assert EVENTS == len(events_in(path))


def test_strict_changes_nothing(path, pipeline, derive, world):
    """The file is as it was, and the sentence says what to do."""
    fill(path, pipeline, world)
    data = bytes(100) + path.read_bytes()[100:]
    path.write_bytes(data)
    with pytest.raises(
        StorageError, match=r"is damaged .* because of --strict: restore a copy, or start without"
    ):
        mend(path, derive, strict=True)

    assert (data, []) == (path.read_bytes(), set_aside(path))


@pytest.mark.parametrize("at", range(4))
def test_cut_off_at_any_step(path, pipeline, derive, world, monkeypatch, at):
    """Killed between two steps, it is begun again or finished at the next start."""
    fill(path, pipeline, world, processed=0)
    path.write_bytes(bytes(100) + path.read_bytes()[100:])
    steps = iter(range(10))
    rename = type(path).rename

    def killed(self, target):
        if next(steps) == at:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            mend(path, derive)
    mend(path, derive)

    assert EVENTS == len(events_in(path))
    assert "" == damage(path)
    assert not list(path.parent.glob("*salvag*"))


def test_sound_store_is_left_alone(path, pipeline, derive, world):
    """Nothing is set aside, nothing is derived again."""
    fill(path, pipeline, world)
    assert mend(path, derive) is None
    assert [] == set_aside(path)


def test_foreign_file_is_left_alone(path, derive):
    """What was never a store is nobody's to set aside."""
    path.write_bytes(b"precious " * 1000)
    assert mend(path, derive) is None
    with pytest.raises(StorageError, match="it is not a SQLite file"):
        Store(path)
    assert mend(path, derive) is None
    assert b"precious " * 1000 == path.read_bytes()


def test_newer_store_is_left_alone(path, derive):
    """A downgrade is refused, not taken for damage."""
    Store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0] + 1
        connection.execute(f"PRAGMA user_version = {version}")

    with pytest.raises(StorageError, match="was written by a newer version"):
        mend(path, derive)


def test_store_in_use_is_left_alone(path, derive):
    """Nobody sets aside what another process writes."""
    with Store(path), pytest.raises(StorageError, match="is open in another openlineage-bridge"):
        mend(path, derive)


def test_changed_bytes_are_not_processed(path, pipeline, world):
    """SQLite does not notice when a disk changes bytes inside an event; its digest does."""
    fill(path, pipeline, world, processed=0)
    path.write_bytes(path.read_bytes().replace(b'"name": "t1"', b'"name": "tX"', 1))
    assert "" == damage(path)
    with Store(path) as store:
        pipeline(store).drain()
        [changed] = [each for each in store.quarantine.entries() if each.failure.stage == "parse"]

    assert "its digest is another one than when it was stored: is the disk damaged?" == changed.failure.reason


def test_records_are_those_of_sqlite(path, pipeline, world):
    """Reading pages gives exactly what SQLite reads, whatever the size."""
    fill(path, pipeline, world)
    with closing(open_readonly(path)) as reader:
        expected = set(reader.execute("SELECT NULL, digest, received, receiver, body, done FROM inbox"))
    with Pages(path) as pages:
        read = {record for record in pages.records() if len(record) == 6 and record[0] is None}

    assert expected == {each for each in read if each[5] == 1}
