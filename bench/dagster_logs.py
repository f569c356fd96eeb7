"""Long Dagster event logs in no time: one real run of a chain of assets, its rows copied under other run ids.

Every copy is what Dagster itself would have stored, but for the run id, so whoever reads the log cannot tell them apart.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dagster import (
    AssetKey,
    AssetsDefinition,
    DagsterInstance,
    Definitions,
    MaterializeResult,
    MetadataValue,
    TableColumn,
    TableSchema,
    asset,
    define_asset_job,
)

CHAIN = 10
"""Assets of a run, each made from the one before: about a hundred records."""

COLUMNS = TableSchema([TableColumn(f"column_{n}", "varchar") for n in range(10)])


def _asset(number: int) -> AssetsDefinition:
    @asset(
        name=f"table_{number}",
        key_prefix=["prod", "postgres", "shop", "public"],
        deps=[AssetKey(["prod", "postgres", "shop", "public", f"table_{number - 1}"])] if number else [],
    )
    def built() -> MaterializeResult[None]:
        return MaterializeResult(
            metadata={"dagster/column_schema": MetadataValue.table_schema(COLUMNS), "dagster/row_count": 7}
        )

    return built


assets = [_asset(number) for number in range(CHAIN)]
definitions = Definitions(assets=assets, jobs=[define_asset_job("nightly", selection="*")])


def run_template(instance: DagsterInstance) -> str:
    """The real run; its id."""
    return definitions.get_repository_def().get_job("nightly").execute_in_process(instance=instance).run_id


def records_of(instance: DagsterInstance, run_id: str) -> int:
    """Records of Dagster's own in the log of a run, text lines left out."""
    return sum(1 for entry in instance.all_logs(run_id) if entry.is_dagster_event)


def copy_runs(home: Path, postgres: str | None, template: str, count: int, *, ended: bool = True) -> None:
    """Copies of a run.

    Args:
        home: ``DAGSTER_HOME``.
        postgres: URL of the database, None for SQLite.
        template: The run to copy.
        count: How many.
        ended: Whether the copies have ended; if not they stop before their last record and are STARTED.
    """
    if postgres is None:
        _copy_in_sqlite(home / "history", template, count, ended=ended)
    else:
        _copy_in_postgres(postgres, template, count, ended=ended)


# --- SQLite, one file for each run ---------------------------------------------------------------------------------------


def _copy_in_sqlite(history: Path, template: str, count: int, *, ended: bool) -> None:
    shard = history / "runs" / f"{template}.db"
    with closing(sqlite3.connect(shard)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (
        closing(sqlite3.connect(history / "runs.db")) as runs,
        closing(sqlite3.connect(history / "runs" / "index.db")) as index,
    ):
        for number in range(count):
            new = str(uuid.uuid4())
            _copy_shard(shard, history / "runs" / f"{new}.db", template, new, ended=ended)
            _copy_rows(
                index,
                "event_logs",
                template,
                new,
                "" if ended else " AND dagster_event_type <> 'PIPELINE_SUCCESS'",
            )
            _copy_rows(runs, "runs", template, new)
            runs.execute(
                "UPDATE runs SET update_timestamp = ?, create_timestamp = ?, status = ? WHERE run_id = ?",
                (_moment(number), _moment(number), "SUCCESS" if ended else "STARTED", new),
            )
            if not ended:
                runs.execute("UPDATE runs SET end_time = NULL WHERE run_id = ?", (new,))
        runs.commit()
        index.commit()


def _copy_shard(shard: Path, new_shard: Path, old: str, new: str, *, ended: bool) -> None:
    shutil.copyfile(shard, new_shard)
    with closing(sqlite3.connect(new_shard)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        if not ended:
            connection.execute("DELETE FROM event_logs WHERE dagster_event_type = 'PIPELINE_SUCCESS'")
        connection.execute("UPDATE event_logs SET run_id = ?, event = replace(event, ?, ?)", (new, old, new))
        connection.commit()


def _copy_rows(connection: sqlite3.Connection, table: str, old: str, new: str, which: str = "") -> None:
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
    connection.execute(_copying(table, columns, which).replace("%s", "?"), (old, new, new, old))


def _copying(table: str, columns: list[str], which: str) -> str:
    body = "event" if "event" in columns else "run_body"
    chosen = {"run_id": "new.id", body: f"replace({body}, old.id, new.id)"}
    selected = ", ".join(chosen.get(column, column) for column in columns)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {selected} FROM {table}, (SELECT %s AS id) AS old,"
        f" (SELECT %s AS id) AS new WHERE run_id <> %s AND run_id = %s{which}"
    )


def _moment(number: int) -> str:
    """Half a minute ago or later, a millisecond apart: what the storage writes as the time of an update."""
    return (
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 30))
        + f".{number % 1000:03d}{number // 1000:03d}"
    )


# --- PostgreSQL, one table ------------------------------------------------------------------------------------------------


def _copy_in_postgres(url: str, template: str, count: int, *, ended: bool) -> None:
    import psycopg2

    with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as connection, connection.cursor() as cursor:
        columns = {}
        for table in ("event_logs", "runs"):
            cursor.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND column_name <> 'id'",
                (table,),
            )
            columns[table] = [name for (name,) in cursor]
        which = "" if ended else " AND dagster_event_type <> 'PIPELINE_SUCCESS'"
        for number in range(count):
            new = str(uuid.uuid4())
            for table, names in columns.items():
                only = which if table == "event_logs" else ""
                order = " ORDER BY id" if table == "event_logs" else ""
                cursor.execute(_copying(table, names, only) + order, (template, new, new, template))
            cursor.execute(
                "UPDATE runs SET update_timestamp = %s, create_timestamp = %s, status = %s WHERE run_id = %s",
                (_moment(number), _moment(number), "SUCCESS" if ended else "STARTED", new),
            )
        connection.commit()


# --- an instance -----------------------------------------------------------------------------------------------------------


@contextmanager
def opened(home: Path, postgres: str | None) -> Iterator[DagsterInstance]:
    """The instance of a folder, on SQLite or on a database."""
    home.mkdir(parents=True, exist_ok=True)
    settings = "telemetry: {enabled: false}\n"
    if postgres is not None:
        settings += f"storage: {{postgres: {{postgres_url: '{postgres}'}}}}\n"
    else:
        settings += f"storage: {{sqlite: {{base_dir: '{home}'}}}}\n"
    (home / "dagster.yaml").write_text(settings)
    os.environ["DAGSTER_HOME"] = str(home)
    with DagsterInstance.from_config(str(home)) as instance:
        yield instance
