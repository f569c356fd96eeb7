"""A Dagster instance in which runs keep coming, and ``dagster-openlineage``'s sensor that tells of them; until it is killed.

Runs in the environment of ``make bench-dagster``, with the modules of ``bench/`` at hand. Arguments: ``DAGSTER_HOME``, and the
port of a PostgreSQL.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import dagster_logs
import psycopg2
from dagster import build_sensor_context
from dagster_openlineage.sensor import openlineage_sensor

RUNS = 20
"""So many come at once."""


def new_database(port: str) -> str:
    """The URL of a new, empty database."""
    server = f"//postgres@127.0.0.1:{port}"
    with closing(psycopg2.connect(f"postgresql:{server}/postgres")) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE DATABASE dagster_openlineage")
    return f"postgresql+psycopg2:{server}/dagster_openlineage"


def main() -> None:
    """One real run, copies of it, and the sensor, which goes on while there is something new."""
    home, database = Path(sys.argv[1]), new_database(sys.argv[2])
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    sensor = openlineage_sensor(include_asset_events=True, record_filter_limit=1000)
    with dagster_logs.opened(home, database) as instance:
        template = dagster_logs.run_template(instance)
        told, cursor = None, ""
        while True:
            if told == cursor:
                dagster_logs.copy_runs(home, database, template, RUNS)
            told = cursor
            with build_sensor_context(instance=instance, cursor=cursor or None) as context:
                list(sensor(context))
                cursor = context.cursor


main()
