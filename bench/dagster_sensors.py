"""Records of a Dagster event log per second: this collector's sensor, ``dagster-openlineage``'s and DataHub's plugin's.

All three read the same log, tick after tick without a pause, and send over HTTP to a receiver that answers at once. Three
rates: by the CPU time of the sensor's process, by the clock, and as Dagster's daemon would drive the sensor, with the pause
between ticks that each has by default. Beside them stands what did not arrive.

It needs an environment with both peers: ``make bench-dagster`` makes it. Without them only this collector is measured.
``--records 10000 100000`` measures a long log as well.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import dagster_logs
import dagster_receiver
import report
from dagster import DagsterInstance, build_sensor_context

from openlineage_bridge_dagster.tail import LOOK_BACK

OURS, PEER, PLUGIN = "this collector", "dagster-openlineage", "DataHub's plugin"
PACKAGES = {PEER: "dagster_openlineage", PLUGIN: "datahub_dagster_plugin"}

INTERVALS = {OURS: 5.0, PEER: 30.0, PLUGIN: 30.0}
"""Seconds from tick to tick by default: the peers have Dagster's own default."""

AIMS = {PEER: 20, PLUGIN: 1}
"""How many times as many records a second arrive here, driven by the daemon."""

STANDS_STILL = 8
"""Ticks without a new cursor after which a sensor is done: DataHub's plugin needs some for each kind of end."""

PER_RUN = 2 + 2 * dagster_logs.CHAIN
"""Starts and ends of a run and its steps."""


@attrs.frozen
class Measured:
    """What one process measured.

    Args:
        seconds: From the first tick to the last that moved the cursor.
        cpu: CPU seconds of the process in that time.
        ticks: How many there were.
        idle: Milliseconds of a tick that finds nothing new, the median of some.
        done: Whether it stood still before its time was over.
        error: Why it cannot tick at all.
        cursor: Where it stands.
    """

    seconds: float
    cpu: float
    ticks: int
    idle: float
    done: bool
    error: str = ""
    cursor: str | None = None


@attrs.frozen
class Order:
    """What one process measures.

    Args:
        which: The sensor.
        home: ``DAGSTER_HOME``.
        postgres: URL of the database, None for SQLite.
        url: The receiver.
        cursor: Where the sensor begins.
        limit: Seconds of CPU after which it is stopped; None for never.
    """

    which: str
    home: str
    postgres: str | None
    url: str
    cursor: str | None
    limit: float | None


# --- one process ---------------------------------------------------------------------------------------------------------


def sensor_of(which: str, url: str) -> Any:
    """The sensor, sending to the receiver."""
    os.environ["OPENLINEAGE_URL"] = url
    os.environ["OPENLINEAGE__TRANSPORT__TYPE"] = "http"
    os.environ["OPENLINEAGE__TRANSPORT__URL"] = url
    if which == OURS:
        from openlineage_bridge_dagster import openlineage_sensor

        return openlineage_sensor(backfill="all")
    if which == PEER:
        from dagster_openlineage.sensor import openlineage_sensor as theirs

        return theirs(include_asset_events=True)
    from datahub.ingestion.graph.client import DatahubClientConfig
    from datahub_dagster_plugin.sensors.datahub_sensors import DatahubDagsterSourceConfig, make_datahub_sensor

    config = DatahubDagsterSourceConfig(datahub_client_config=DatahubClientConfig(server=url))
    return make_datahub_sensor(config, monitor_all_code_locations=True)


def tick(sensor: Any, instance: DagsterInstance, cursor: str | None) -> str | None:
    """One evaluation; the cursor after it."""
    with build_sensor_context(
        instance=instance, cursor=cursor, definitions=dagster_logs.definitions
    ) as context:
        result = sensor(context)
        if result is not None and not hasattr(result, "skip_message"):
            list(result)
        return context.cursor


def drain(sensor: Any, instance: DagsterInstance, cursor: str | None, limit: float | None) -> Measured:
    """Tick after tick until nothing moves any more, or for so many seconds of CPU."""
    limit = limit or math.inf
    started, cpu = time.perf_counter(), time.process_time()
    last, last_cpu, ticks, still = started, cpu, 0, 0
    while still < STANDS_STILL and time.process_time() - cpu < limit:
        before, cursor = cursor, tick(sensor, instance, cursor)
        ticks += 1
        still = still + 1 if cursor == before else 0
        if not still:
            last, last_cpu = time.perf_counter(), time.process_time()
    return Measured(
        last - started,
        last_cpu - cpu,
        ticks - still,
        _idle(sensor, instance, cursor),
        still >= STANDS_STILL,
        cursor=cursor,
    )


def _idle(sensor: Any, instance: DagsterInstance, cursor: str | None) -> float:
    times = []
    for _ in range(9):
        started = time.perf_counter()
        tick(sensor, instance, cursor)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def measure(order: Order) -> Measured:
    """In this process: open the instance, tick until done."""
    with dagster_logs.opened(Path(order.home), order.postgres) as instance:
        try:
            return drain(sensor_of(order.which, order.url), instance, order.cursor, order.limit)
        except Exception as error:
            told = str(error).strip() or str(error.__cause__)
            reason = f"{type(error).__name__}: {told.splitlines()[0]}"
            return Measured(0, 0, 0, 0, done=False, error=reason)


# --- all of them ------------------------------------------------------------------------------------------------------------


def child(order: Order) -> Measured:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--measure", json.dumps(attrs.asdict(order))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return Measured(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError) as error:
        raise RuntimeError(done.stderr[-2000:]) from error


def first_cursor(home: Path, postgres: str | None, url: str) -> str | None:
    """DataHub's plugin begins with what happens after its first tick."""
    with dagster_logs.opened(home, postgres) as instance:
        return tick(sensor_of(PLUGIN, url), instance, None)


def arrived(which: str, gms: dagster_receiver.Gms) -> int:
    """Starts and ends of runs and steps that the receiver got, each counted once; of the plugin, runs that ended."""
    if which == PLUGIN:
        return PER_RUN * len(
            {
                each["entityUrn"]
                for each in gms.proposals()
                if each["aspectName"] == "dataProcessInstanceRelationships"
                and each["aspect"].get("parentTemplate", "").startswith("urn:li:dataFlow")
            }
        )
    found = set()
    for _, event in gms.bodies():
        name = event.get("job", {}).get("name", "").rpartition("/")[2]
        if "nightly" in name and event.get("eventType") in {"START", "COMPLETE"}:
            found.add((event["run"]["runId"], event["eventType"]))
    return len(found)


def compare(records: int, postgres: str | None, folder: Path, rounds: int, limit: float) -> None:
    """One log, all sensors, round after round."""
    home = folder / "home"
    available = [OURS, *(which for which, package in PACKAGES.items() if importlib.util.find_spec(package))]
    with dagster_receiver.listening(folder) as gms:
        with dagster_logs.opened(home, postgres) as instance:
            template = dagster_logs.run_template(instance)
            each_has = dagster_logs.records_of(instance, template)
            start = {PLUGIN: first_cursor(home, postgres, gms.url) if PLUGIN in available else None}
            runs = round(records / each_has)
            dagster_logs.copy_runs(home, postgres, template, runs)
        report.heading(
            f"{runs * each_has:,} records in {runs:,} runs on {'PostgreSQL' if postgres else 'SQLite'}, {rounds} rounds"
        )
        rates: dict[str, tuple[float, float]] = {}
        results: dict[str, list[tuple[Measured, int]]] = {which: [] for which in available}
        for _ in range(rounds):
            for which in available:
                gms.kept.write_bytes(b"")
                order = Order(
                    which,
                    str(home),
                    postgres,
                    gms.url,
                    start.get(which),
                    limit if which in PACKAGES else None,
                )
                found = child(order)
                results[which].append((found, arrived(which, gms)))
        for which, found in results.items():
            expected = (runs if which == PLUGIN else runs + 1) * PER_RUN
            if told := tell(which, found, expected, runs * each_has):
                rates[which] = told
    for which in available[1:]:
        if which in rates:
            tell_ratios(which, rates)


def tell_ratios(which: str, rates: dict[str, tuple[float, float]]) -> None:
    """This collector beside a peer."""
    (ours, ours_driven), (theirs, theirs_driven) = rates[OURS], rates[which]
    ratio, aim = ours_driven / theirs_driven, AIMS[which]
    report.ratio(f"{OURS} beside {which}, driven by the daemon", ratio, f"≥ {aim}", met=ratio >= aim)
    report.ratio(f"{OURS} beside {which}, by CPU", ours / theirs, "> 1", met=ours > theirs)


def tell(
    which: str, found: list[tuple[Measured, int]], expected: int, records: int
) -> tuple[float, float] | None:
    """The best of some rounds in words; records a second of CPU and as the daemon drives it, None where it cannot tick."""
    best, got = min(found, key=lambda each: each[0].cpu / max(each[1], 1))
    if best.error or not got:
        report.figure(which, "cannot tick")
        print(f"    {best.error[:150]}")
        return None
    arrived = records * min(got / expected, 1.0)
    driven = max(best.seconds, (best.ticks - 1) * INTERVALS[which])
    report.figure(f"{which}: records that arrived, a second of its CPU", f"{arrived / best.cpu:,.0f}")
    report.figure(
        "    a second of the clock, on this machine as busy as it is", f"{arrived / best.seconds:,.0f}"
    )
    report.figure(
        f"    a second as the daemon drives it, every {INTERVALS[which]:.0f} s", f"{arrived / driven:,.1f}"
    )
    lost = f"{expected - got:,} of {expected:,}" if best.done else f"stopped after {best.cpu:.0f} s of CPU"
    report.figure("    starts and ends that never arrived", lost)
    report.figure("    ticks; CPU; an idle tick", f"{best.ticks:,}; {best.cpu:.1f} s; {best.idle:.0f} ms")
    return arrived / best.cpu, arrived / driven


def active(count: int, postgres: str | None, folder: Path) -> None:
    """A tick while so many runs are under way."""
    home = folder / "active"
    with dagster_receiver.listening(folder) as gms, dagster_logs.opened(home, postgres) as instance:
        template = dagster_logs.run_template(instance)
        dagster_logs.copy_runs(home, postgres, template, count, ended=False)
        sensor = sensor_of(OURS, gms.url)
        first = drain(sensor, instance, None, None)
        cursor = first.cursor
        until = time.monotonic() + LOOK_BACK
        while time.monotonic() < until:  # on PostgreSQL silence is only known once it has lasted
            cursor = tick(sensor, instance, cursor)
            time.sleep(INTERVALS[OURS])
        # A code server gets a new instance at each tick, which has opened no file yet.
        times = []
        for _ in range(7):
            with DagsterInstance.from_ref(instance.get_ref()) as fresh:
                started = time.process_time()
                cursor = tick(sensor, fresh, cursor)
                times.append(time.process_time() - started)
        report.heading(f"{count} runs under way on {'PostgreSQL' if postgres else 'SQLite'}")
        report.figure("reading all that their logs hold: CPU, ticks", f"{first.cpu:.1f} s, {first.ticks}")
        report.figure(
            "a tick that finds nothing new in them: CPU, median, longest",
            f"{statistics.median(times):.2f}, {max(times):.2f} s",
        )
        report.figure("size of the cursor", f"{len(cursor or '') / 1000:.0f} kB")


@contextmanager
def database() -> Iterator[str | None]:
    """A PostgreSQL of our own with a new database for each log; None where there is none."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "lib"))
    from _pytest.outcomes import Skipped
    from bridge_tests.postgres import running

    with suppress(Skipped), running() as port:
        yield f"postgresql+psycopg2://postgres@127.0.0.1:{port}/"
        return
    yield None


def new_database(server: str, name: str) -> str:
    """The URL of a new, empty database."""
    import psycopg2

    connection = psycopg2.connect(f"{server.replace('+psycopg2', '')}postgres")
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return f"{server}{name}"


def quiet() -> None:
    """No telemetry, and nothing of what Dagster says of its own runs."""
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    os.environ["DATAHUB_TELEMETRY_ENABLED"] = "false"
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")


def main() -> None:
    """Logs of some lengths on both storages."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--records", type=int, nargs="*", default=[10_000])
    options.add_argument("--storages", nargs="+", default=["sqlite", "postgres"])
    options.add_argument("--rounds", type=int, default=1, help="of each log; the best counts")
    options.add_argument("--limit", type=float, default=30.0, help="seconds of CPU for a peer on one log")
    options.add_argument("--active", type=int, default=500, help="runs under way; 0 leaves that out")
    options.add_argument("--measure", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    quiet()
    if chosen.measure:
        print(json.dumps(attrs.asdict(measure(Order(**json.loads(chosen.measure))))))
        return
    with database() as server:
        for storage in chosen.storages:
            if storage == "postgres" and (server is None or not importlib.util.find_spec("dagster_postgres")):
                print("No PostgreSQL here, or no dagster-postgres: its figures are left out")
                continue
            on: Callable[[str], str | None] = (
                (lambda name: new_database(server, name)) if storage == "postgres" else lambda _: None
            )
            for records in chosen.records:
                with tempfile.TemporaryDirectory() as folder:
                    compare(records, on(f"log_{records}"), Path(folder), chosen.rounds, chosen.limit)
            if chosen.active:
                with tempfile.TemporaryDirectory() as folder:
                    active(chosen.active, on("active"), Path(folder))


if __name__ == "__main__":
    main()
