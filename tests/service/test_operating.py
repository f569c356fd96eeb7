"""What an operator looks at: ``queue`` and ``doctor store``, beside a running service and without one."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from openlineage_bridge.cli.doctor_store import command as doctor
from openlineage_bridge.cli.queue import command as queue
from openlineage_bridge.config import Config, SpaceConfig
from openlineage_bridge.pipeline import Pipeline
from openlineage_bridge.store import Store, examination
from openlineage_bridge.store.destinations import Addressee
from openlineage_bridge.store.examination import examine
from openlineage_bridge.store.inbox import inspect
from openlineage_bridge.store.salvage import mend
from openlineage_bridge.store.space import ballast_of


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "bridge.db"


@pytest.fixture
def fill(path, plain, world):
    """Puts events into the store, and processes the first of them."""

    def fill(count: int, processed: int) -> None:
        with Store(path) as store:
            with store.transaction():
                bodies = [world.encoded(world.run_event(f"job{number}", number)) for number in range(count)]
                store.inbox.put(map(inspect, bodies), receiver="test", now=1_767_225_600_000)
            Pipeline(store, plain.PlainTranslator()).step(processed)

    return fill


def run(command, *arguments) -> tuple[int, str]:
    done = CliRunner().invoke(command, [str(each) for each in arguments])
    return done.exit_code, done.output


# --- queue ----------------------------------------------------------------------------------------------------------


def test_queue(path, fill):
    """Events with what they are about, then what is to be delivered; oldest first, and no more than asked for."""
    fill(5, 2)
    code, text = run(queue, "--store", path, "--limit", 2)

    assert 0 == code
    assert [
        "To be processed",
        "3 2026-01-01 00:00:00 COMPLETE ns job2",
        "4 2026-01-01 00:00:00 COMPLETE ns job3",
        "To be delivered",
    ] == [" ".join(line.split()[:6]) for line in text.splitlines()[:4]]
    assert 6 == len(text.splitlines())


@pytest.mark.parametrize("format_", ["json", "jsonl"])
def test_queue_for_programs(path, fill, format_):
    """Every field of everything that waits."""
    fill(3, 1)
    _, text = run(queue, "--store", path, "--format", format_)
    if format_ == "json":
        data = json.loads(text)
    else:
        lines = [json.loads(line) for line in text.splitlines()]
        data = {name: [each for each in lines if each["queue"] == name] for name in ("inbox", "outbox")}

    assert ["ns job1", "ns job2"] == [each["about"] for each in data["inbox"]]
    assert {"number", "since", "urn", "name", "at", "attempts", "reason", "destination"} <= set(
        data["outbox"][0]
    )


def test_queue_with_nothing_in_it(path, fill):
    """Says so."""
    Store(path).close()
    assert (0, "nothing waits\n") == run(queue, "--store", path)


# --- doctor store ---------------------------------------------------------------------------------------------------


def said(config: Config) -> dict[str, tuple[str, str]]:
    """State and text of each check."""
    return {each["check"]: (each["state"], each["says"]) for each in examine(config)}


def test_store_that_is_well(path, fill):
    """No problem; what it tells is there for programs too."""
    fill(1, 1)
    code, text = run(doctor, "--store", path, "--format", "json")
    data = json.loads(text)

    assert (0, "nothing to do") == (code, data["next"])
    assert ["file", "service", "space", "ballast", "pages", "inbox", "outbox", "quarantine", "SQLite"] == [
        each["check"] for each in data["findings"]
    ]


def test_store_that_is_not_there(path):
    """What to do about it; and a store that was there and is not is another thing."""
    code, text = run(doctor, "--store", path)
    assert (1, True) == (code, "there is no store at" in text)
    Store(path).close()
    path.unlink()
    code, text = run(doctor, "--store", path)
    assert (1, True) == (code, "there was a store at" in text and "it is gone" in text)


def test_store_in_use(path, fill):
    """Is looked at while a service has it open."""
    fill(1, 1)
    with Store(path):
        found = said(Config(store=path))

    assert "ok" == found["service"][0]
    assert "open in another openlineage-bridge (process " in found["service"][1]
    assert ("ok", "every page was read and is sound") == found["pages"]


def test_damaged_store(path, fill, plain):
    """Before it is mended, and after."""
    fill(3, 3)
    data = path.read_bytes()
    path.write_bytes(bytes(100) + data[100:])
    state, says = said(Config(store=path))["pages"]
    assert ("problem", True) == (state, says.startswith("the file is damaged"))
    mend(path, lambda store: Pipeline(store, plain.PlainTranslator()).retranslate())
    found = said(Config(store=path))

    assert ("ok", "every page was read and is sound") == found["pages"]
    assert "note" == found["damage"][0]
    assert "a damaged store was set aside" in found["damage"][1]


def test_interrupted_salvage(path, fill):
    """Is told, with what goes on with it."""
    fill(1, 1)
    path.with_name("bridge.db.salvaging").touch()
    assert "problem" == said(Config(store=path))["damage"][0]


def test_little_room(path, fill):
    """The figures that decide, and what they lead to."""
    fill(1, 1)
    ballast_of(path).touch()
    found = said(Config(store=path, space=SpaceConfig(min_free_bytes=1 << 60)))
    assert "problem" == found["space"][0]
    assert "events are refused with 503" in found["space"][1]
    assert "ballast" not in found


def test_network_disk(path, fill, tmp_path, monkeypatch):
    """SQLite is not safe there."""
    fill(1, 1)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/export {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(examination, "MOUNTS", mounts)

    assert ("problem", "nfs4 is a network file system, on which SQLite is not safe") == said(
        Config(store=path)
    )["disk"]


def test_what_stands_still(path, fill, plain):
    """Events that wait for long, a destination that refuses, a quarantine that is not empty."""
    fill(3, 1)
    with Store(path) as store, store.transaction():
        store.inbox.put([inspect(b"nonsense")], receiver="test", now=1)
        [number] = store.destinations.address([Addressee("http://gms", "datahub")])
        for _ in range(7):
            store.destinations.heard(number, "HTTP 401")
    found = said(Config(store=path))

    assert "note" == found["inbox"][0]
    assert "2 events wait to be processed, the oldest for" in found["inbox"][1]
    assert ("problem", "datahub would not have them 7 times in a row: HTTP 401") == found["destination"]
    assert ("note", "1 at receive") == found["quarantine"]


def test_library_with_the_reset_bug(path, fill, monkeypatch):
    """Other programs should leave the file alone."""
    fill(1, 1)
    for affected, state in ((True, "note"), (False, "ok")):
        monkeypatch.setattr(examination, "resets_its_log_unsafely", lambda affected=affected: affected)
        assert state == said(Config(store=path))["SQLite"][0]
