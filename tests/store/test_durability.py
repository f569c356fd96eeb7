"""What power loss may take: nothing that was acknowledged (G02); and who may write at all (G31)."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from openlineage_bridge.store import Store
from openlineage_bridge.store.database import open_readonly, resets_its_log_unsafely
from openlineage_bridge.store.inbox import inspect

COMMITS = 20

PROGRAM = """
import sys
from openlineage_bridge.store import Store
from openlineage_bridge.store.writer import Writer
writer = Writer(lambda: Store(sys.argv[1]))
for number in range(int(sys.argv[2])):
    writer.accept([b'{"job":{"namespace":"n","name":"j%d"}}' % number], "test").result()
writer.close()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bridge.db"


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_every_commit_reaches_the_disk(path, tmp_path):
    """The kernel is asked to write through at least once for every commit that is acknowledged (G02)."""
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-e", "trace=fdatasync,fsync", "-o", trace]
    command = [*strace, sys.executable, "-c", PROGRAM, path, f"{COMMITS}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    if "Operation not permitted" in done.stderr:
        pytest.skip("this user may not trace processes")

    assert (0, "") == (done.returncode, done.stderr)
    assert COMMITS <= sum("sync(" in line for line in trace.read_text().splitlines())


def test_log_cut_anywhere(path, tmp_path):
    """Power loss leaves a part of the log: wherever it ends, everything committed before is there (G02)."""
    ends = [0]  # of the log, after each commit
    log = path.with_name("bridge.db-wal")
    with Store(path) as store:
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        for number in range(COMMITS):
            body = b'{"job":{"namespace":"n","name":"j%d"},"x":"%s"}' % (number, b"x" * (number * 300))
            with store.transaction():
                store.inbox.put([inspect(body)], receiver="test", now=1)
            ends.append(log.stat().st_size)
        file, whole = path.read_bytes(), log.read_bytes()
    frame = 24 + 4096
    for cut in sorted(
        {*range(32, len(whole) + 1, frame), *(end - 1 for end in ends[1:]), *range(0, len(whole), 7919)}
    ):
        torn = tmp_path / "torn.db"
        torn.write_bytes(file)
        Path(f"{torn}-wal").write_bytes(whole[:cut])
        with closing(sqlite3.connect(torn)) as connection:
            kept = [
                row[0]
                for row in connection.execute(
                    "SELECT json_extract(body, '$.job.name') FROM inbox ORDER BY seq"
                )
            ]

        assert [f"j{number}" for number in range(sum(end <= cut for end in ends[1:]))] == kept


def test_one_connection_writes(path):
    """Of all connections to a store exactly one can write, and none but it may checkpoint (G31)."""
    with Store(path), closing(open_readonly(path)) as reader:
        for statement in ("DELETE FROM inbox", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
            with pytest.raises(sqlite3.OperationalError, match=r"readonly|disk I/O error"):
                reader.execute(statement).fetchall()


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_versions_with_the_reset_bug(version, affected):
    """As SQLite's page lists them (https://sqlite.org/wal.html#walresetbug) (G31)."""
    assert affected == resets_its_log_unsafely(version)
