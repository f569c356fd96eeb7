"""Opening the store: what is refused and with which words, one writer at a time, readers beside it."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing

import pytest

from openlineage_bridge.errors import StorageError
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY, open_readonly
from openlineage_bridge.store.schema import APPLICATION_ID, VERSION

HOLD = """
import sys
from openlineage_bridge.store import Store
store = Store(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bridge.db"


def insert(store: Store, digest: bytes) -> None:
    store.connection.execute("INSERT INTO bodies VALUES (?, ?)", (digest, b"{}"))


def bodies(connection: sqlite3.Connection) -> list[bytes]:
    return [digest for (digest,) in connection.execute("SELECT digest FROM bodies ORDER BY 1")]


# --- durability -----------------------------------------------------------------------------------------------------


def test_wal_and_full_are_read_back(path):
    """An acknowledged event survives power loss only with WAL and synchronous=FULL: both hold (G02)."""
    with Store(path) as store:
        pragmas = [
            store.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]

    assert ["wal", 2] == pragmas


def test_in_bulk_the_log_grows_longer(path):
    """What much writing changes goes to the file later, all at once; afterwards each commit sees to it as before."""
    large = 8 * 1024 * 1024
    with Store(path) as store:
        with store.bulk():
            with store.transaction():
                store.connection.execute("INSERT INTO bodies VALUES (x'00', zeroblob(?))", (large,))
            kept_back = path.stat().st_size
        with store.transaction():
            insert(store, b"1")
        brought = path.stat().st_size

    assert kept_back < large < brought


def test_bulk_ends_with_the_store(path):
    """Whoever is interrupted between two batches closes the store first."""
    with ExitStack() as late, Store(path) as store:
        late.enter_context(store.bulk())


def test_store_is_marked_as_ours(path):
    """So that a foreign file is never taken for one, nor an older program for a newer."""
    with Store(path) as store:
        marks = [
            store.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        ]

    assert [APPLICATION_ID, VERSION] == marks


def test_what_was_committed_is_there_after_opening_again(path):
    """Also in a folder that had to be made."""
    nested = path.parent / "new" / "folder" / "bridge.db"
    with Store(nested) as store, store.transaction():
        insert(store, b"1")
    with Store(nested) as store:
        assert [b"1"] == bodies(store.connection)


def test_transaction_rolls_back():
    """Everything inside is kept, or nothing is, and the connection goes on."""
    with Store(MEMORY) as store:
        with pytest.raises(sqlite3.IntegrityError), store.transaction():
            store.connection.executemany("INSERT INTO bodies VALUES (?, '')", [(b"1",), (b"1",)])
        with store.transaction():
            insert(store, b"2")

        assert [b"2"] == bodies(store.connection)


# --- what is refused ------------------------------------------------------------------------------------------------


def foreign(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE accounts (id)")


def newer(path):
    Store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")


def garbage(path):
    path.write_bytes(b"this is no database, and never was one" * 100)


REFUSED = [
    (foreign, "this SQLite file is not a store of openlineage-bridge: choose another path with --store"),
    (
        newer,
        (
            f"this store has format {VERSION + 1}, and this openlineage-bridge knows formats up to {VERSION}: "
            "it was written by a newer version; upgrade, or choose another path with --store"
        ),
    ),
    (garbage, "it is not a SQLite file: choose another path with --store (SQLITE_NOTADB)"),
]


@pytest.mark.parametrize("opening", [Store, open_readonly])
@pytest.mark.parametrize(("make", "sentence"), REFUSED)
def test_refused_file(path, make, sentence, opening):
    """The sentence says what to do, every time: the lock is free again (G33)."""
    make(path)
    for _ in range(2):
        with pytest.raises(StorageError) as refusal:
            opening(path)
        assert sentence in str(refusal.value)


@pytest.mark.parametrize(
    "make",
    [foreign, newer, garbage],
)
def test_refused_file_stays_as_it_was(path, make):
    """What is not ours is not touched, not even its journal mode."""
    make(path)
    before = path.read_bytes()
    with pytest.raises(StorageError):
        Store(path)

    assert before == path.read_bytes()


def test_folder_that_cannot_be_written(path):
    """A path below a file cannot be made."""
    path.write_text("a file")
    with pytest.raises(StorageError, match=f"^cannot write in {re.escape(str(path))}.*choose another path"):
        Store(path / "bridge.db")


def test_folder_in_the_place_of_the_file(path):
    """It is said that it cannot be opened, and that the folder may be why."""
    path.mkdir()
    with pytest.raises(StorageError, match="it cannot be opened"):
        Store(path)


# --- one writer -----------------------------------------------------------------------------------------------------


def test_second_writer_is_refused(path):
    """The sentence names the process that has the store open (G31)."""
    with Store(path), pytest.raises(StorageError) as refusal:
        Store(path)

    assert f"{path} is open in another openlineage-bridge (process {os.getpid()}): stop it" in str(
        refusal.value
    )


def test_lock_is_free_after_closing(path):
    """Closing lets the next one in."""
    Store(path).close()
    Store(path).close()


def test_lock_is_free_after_kill(path):
    """The kernel releases it with the process: no stale lock after kill -9."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout.readline() == "open\n"
        with pytest.raises(StorageError, match=rf"\(process {child.pid}\)"):
            Store(path)
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    with Store(path) as store, store.transaction():
        insert(store, b"1")


# --- readers --------------------------------------------------------------------------------------------------------


def test_reader_beside_a_writer(path):
    """It sees what is committed, and nothing else."""
    with Store(path) as store, closing(open_readonly(path)) as reader:
        with store.transaction():
            insert(store, b"1")
            assert [] == bodies(reader)
        assert [b"1"] == bodies(reader)


@pytest.mark.parametrize("statement", ["INSERT INTO bodies VALUES (x'00', x'00')", "PRAGMA user_version = 9"])
def test_reader_cannot_write(path, statement):
    """Not even when it wants to (G31)."""
    with (
        Store(path),
        closing(open_readonly(path)) as reader,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        reader.execute(statement)


def test_reader_after_the_writer_left(path):
    """The file alone is enough."""
    with Store(path) as store, store.transaction():
        insert(store, b"1")
    with closing(open_readonly(path)) as reader:
        assert [b"1"] == bodies(reader)


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "what?.db", "c#.db", "ä.db", "x%3f.db"])
def test_reader_of_any_name(tmp_path, name):
    """A path is not a URI."""
    with Store(tmp_path / name) as store, store.transaction():
        insert(store, b"1")
    with closing(open_readonly(tmp_path / name)) as reader:
        assert [b"1"] == bodies(reader)
    assert {name, name + ".lock"} >= {
        each.name for each in tmp_path.iterdir() if not each.name.endswith(("-wal", "-shm"))
    }


def test_reader_without_a_store(path):
    """Nothing is made by looking."""
    with pytest.raises(StorageError, match=r"^there is no store at .*: name one with --store"):
        open_readonly(path)

    assert not path.exists()


def test_reader_of_an_empty_file(path):
    """An empty file would become a store only by writing."""
    path.touch()
    with pytest.raises(StorageError, match="is empty: it is not a store"):
        open_readonly(path)
