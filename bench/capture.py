"""What recording a repeated statement costs the user's thread: with recording minus without, driver by driver.

The same loop of statements runs in turns with nobody listening, with a host listening outside every run, inside a run, and
in two other processes: on the driver as it is, and with a collector that finds nothing configured. There are many short rounds, and each way's best one counts, so the
differences are those of the code and not of the machine. "Repeated" is the steady state: the first execution of a statement also looks up where the
connection is and what its text tells.

DuckDB's own time differs by tens of microseconds from process to process, so where a driver's methods are replaced on its class they are put back
for rounds in this process, and recording is compared with those. "Outside every run" is compared with nobody listening, for the same reason.
DuckDB works with one thread: how it divides work among several differs more from round to round than recording takes.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import psycopg
import psycopg2
import report
import sqlalchemy

from openlineage_bridge_capture import drivers, recorder

STATEMENTS = 10
ROUNDS = 300
AIM = 60
"""Microseconds that recording a repeated statement may add to the user's thread."""

AIM_OUTSIDE = 15
"""Microseconds that a host that listens may add to a statement outside every run."""

NAME = f"orders_{os.getpid()}"
"""A table for each process: they share the PostgreSQL server."""

SQL = f"SELECT id, amount FROM {NAME} WHERE amount > 1"
TABLE = f"CREATE TABLE {NAME} AS SELECT 1 AS id, 9 AS amount"
AGAIN = f"DROP TABLE IF EXISTS {NAME}; {TABLE}"

Statement = Callable[[], object]

_run: ContextVar[str | None] = ContextVar("run", default=None)


def over_duckdb(stack: ExitStack) -> Statement:
    connection = stack.enter_context(duckdb.connect(str(_folder(stack) / "shop.duckdb")))
    connection.execute("SET threads = 1")
    connection.execute(TABLE)
    return lambda: connection.execute(SQL).fetchall()


def over_sqlite(stack: ExitStack) -> Statement:
    connection = stack.enter_context(closing(sqlite3.connect(_folder(stack) / "shop.sqlite")))
    connection.execute(TABLE)
    return lambda: connection.execute(SQL).fetchall()


def over_sqlalchemy(stack: ExitStack) -> Statement:
    engine = sqlalchemy.create_engine(f"sqlite:///{_folder(stack) / 'shop.sqlite'}")
    return _over_engine(stack, engine, TABLE)


def over_sqlalchemy_alone(stack: ExitStack) -> Statement:
    path = _folder(stack) / "shop.sqlite"
    # The class itself: only what ``sqlite3.connect`` opens is captured.
    engine = sqlalchemy.create_engine("sqlite://", creator=lambda: sqlite3.Connection(path))
    return _over_engine(stack, engine, TABLE)


def _over_engine(stack: ExitStack, engine: sqlalchemy.Engine, table: str) -> Statement:
    stack.callback(engine.dispose)
    connection = stack.enter_context(engine.connect())
    connection.execute(sqlalchemy.text(table))
    statement = sqlalchemy.text(SQL)
    return lambda: connection.execute(statement).fetchall()


def over_psycopg(stack: ExitStack) -> Statement:
    connection = stack.enter_context(psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True))
    connection.execute(AGAIN)
    return lambda: connection.execute(SQL).fetchall()


def over_psycopg2(stack: ExitStack) -> Statement:
    connection = stack.enter_context(closing(psycopg2.connect(os.environ["BENCH_POSTGRES"])))
    connection.autocommit = True
    cursor = stack.enter_context(connection.cursor())
    cursor.execute(AGAIN)

    def statement() -> object:
        cursor.execute(SQL)
        return cursor.fetchall()

    return statement


def over_sqlalchemy_psycopg(stack: ExitStack) -> Statement:
    address = os.environ["BENCH_POSTGRES"].replace("postgresql://", "postgresql+psycopg://")
    return _over_engine(stack, sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT"), AGAIN)


def _folder(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory()))


@contextmanager
def postgres() -> Iterator[str | None]:
    """The address of a PostgreSQL server of our own; None where there are no programs for one."""
    found = shutil.which("initdb")
    programs = Path(found).parent if found else max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if programs is None or not (programs / "initdb").exists():
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="bridge-bench-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    data, settings = folder / "data", f"-p {port} -h 127.0.0.1 -k {folder} -F"
    try:
        _as_postgres(programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync")
        _as_postgres(programs / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", settings, "start")
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        with suppress(subprocess.CalledProcessError):
            _as_postgres(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _as_postgres(*command: object) -> None:
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    nowhere = subprocess.DEVNULL
    subprocess.run(
        [*prefix, *map(str, command)],
        check=True,
        timeout=60,
        cwd="/",
        stdin=nowhere,
        stdout=nowhere,
        stderr=nowhere,
    )


def round_of(statement: Statement) -> float:
    """CPU microseconds of this thread for each statement; the one after a change of ways warms up."""
    statement()
    started = time.thread_time()
    for _ in range(STATEMENTS):
        statement()
    return (time.thread_time() - started) / STATEMENTS * 1e6


@contextmanager
def nobody_listening() -> Iterator[None]:
    recorder.attribute_no_longer_with(_run.get)
    try:
        yield
    finally:
        recorder.attribute_with(_run.get)


@contextmanager
def outside() -> Iterator[None]:
    yield


@contextmanager
def inside() -> Iterator[None]:
    token = _run.set("bench")
    try:
        yield
    finally:
        _run.reset(token)


WORK = {
    "DuckDB": over_duckdb,
    "sqlite3": over_sqlite,
    "SQLAlchemy on sqlite3": over_sqlalchemy,
    "SQLAlchemy by itself": over_sqlalchemy_alone,
    "psycopg": over_psycopg,
    "psycopg2": over_psycopg2,
    "SQLAlchemy on psycopg": over_sqlalchemy_psycopg,
}
NEEDS_POSTGRES = {"psycopg", "psycopg2", "SQLAlchemy on psycopg"}

REPLACED: dict[str, type] = {"DuckDB": duckdb.DuckDBPyConnection, "psycopg": psycopg.Cursor}
"""Drivers whose ``execute`` is replaced on a class, and that class."""


@contextmanager
def put_back(kind: type) -> Iterator[None]:
    """The driver as it is, although it is instrumented."""
    replacement = kind.execute  # type: ignore[attr-defined]  # each of them has it
    kind.execute = replacement.__wrapped__  # type: ignore[attr-defined]
    try:
        yield
    finally:
        kind.execute = replacement  # type: ignore[attr-defined]


WAYS = {"nobody listens": nobody_listening, "outside every run": outside, "inside a run": inside}


def elsewhere(name: str, collector: str | None, pipe: Connection) -> None:
    """A process that knows nothing of capture, or has a collector and nothing configured: a round a message."""
    if collector is not None:
        importlib.import_module(collector)
    with ExitStack() as stack:
        statement = WORK[name](stack)
        while pipe.recv():
            pipe.send(round_of(statement))


@contextmanager
def rounds_elsewhere(name: str, collector: str | None = None) -> Iterator[Callable[[], float]]:
    """Rounds in another process, one for each call."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=elsewhere, args=(name, collector, theirs))
    process.start()

    def round_there() -> float:
        ours.send("go")
        if not ours.poll(60):
            raise TimeoutError(name)
        taken: float = ours.recv()
        return taken

    try:
        yield round_there
    finally:
        ours.send("")
        process.join(10)
        process.kill()


def measure(name: str) -> dict[str, float]:
    """The best round of each way, in microseconds; the ways take turns."""
    ways = dict(WAYS)
    if name in REPLACED:
        ways["put back"] = partial(put_back, REPLACED[name])
    best = dict.fromkeys([*ways, "plain", "unconfigured"], float("inf"))
    with ExitStack() as stack:
        plain = stack.enter_context(rounds_elsewhere(name))
        unconfigured = stack.enter_context(rounds_elsewhere(name, "openlineage_bridge_prefect"))
        statement = WORK[name](stack)
        for _ in range(ROUNDS):
            best["plain"] = min(best["plain"], plain())
            best["unconfigured"] = min(best["unconfigured"], unconfigured())
            for way, entered in ways.items():
                with entered():
                    best[way] = min(best[way], round_of(statement))
    return best


def show(name: str, best: dict[str, float]) -> None:
    plain, nobody = best.get("put back", best["plain"]), best["nobody listens"]
    recorded, outside = best["inside a run"] - plain, best["outside every run"] - nobody
    report.figure(f"{name}: a statement without capture", f"{plain:.1f} µs")
    report.figure(
        "  the collector with nothing configured adds", f"{best['unconfigured'] - best['plain']:.1f} µs"
    )
    report.figure("  drivers instrumented, nobody listening, adds", f"{nobody - plain:.1f} µs")
    report.figure("  outside every run adds to that", f"{outside:.1f} µs")
    report.figure("  recording it adds to the statement", f"{recorded:.1f} µs")
    report.ratio("  recording, of what it may add", recorded / AIM, f"≤ 1: {AIM} µs", met=recorded <= AIM)
    report.ratio(
        "  outside every run, of what it may add",
        outside / AIM_OUTSIDE,
        f"≤ 1: {AIM_OUTSIDE} µs",
        met=outside <= AIM_OUTSIDE,
    )
    report.figure("  a statement with recording, of one without", f"{best['inside a run'] / plain:.2f} ×")


def main() -> None:
    """Every driver; those that need a PostgreSQL server only where its programs are."""
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        del os.environ[name]
    drivers.install()
    recorder.attribute_with(_run.get)
    with postgres() as address:
        os.environ["BENCH_POSTGRES"] = address or ""
        report.heading("Recording a repeated statement: CPU of the user's thread")
        for name in WORK:
            if address is None and name in NEEDS_POSTGRES:
                print(f"  {name}: left out, there are no programs of a PostgreSQL server (initdb) here")
            else:
                show(name, measure(name))


if __name__ == "__main__":
    main()
