"""The project that the tests hold against events written by hand, for the comparison with DataHub's Dagster plugin.

Left out are jobs that never end, that kill their process, or whose steps need processes of their own. ``SHOP_FILE`` is where
its DuckDB file will lie.
``openlineage_bridge_dagster.datahub`` may be the plugin's own classes under that name.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from dagster import Definitions, in_process_executor

from openlineage_bridge_dagster.datahub import (
    DatahubClientConfig,
    DatahubDagsterSourceConfig,
    make_datahub_sensor,
)

DEFINITIONS = Path(__file__).parents[1] / "tests" / "dagster" / "project" / "definitions.py"
JOBS = ("nightly", "gating", "checking", "observing", "attempts", "shapes", "again", "unequipped", "telling")

spec = importlib.util.spec_from_file_location("golden_project", DEFINITIONS)
assert spec is not None
assert spec.loader is not None
project = importlib.util.module_from_spec(spec)
spec.loader.exec_module(project)

config = DatahubDagsterSourceConfig(
    datahub_client_config=DatahubClientConfig(server="http://localhost:8080"),
    connect_ops_to_ops=True,
)
defs = Definitions(
    assets=project.defs.assets,
    asset_checks=project.defs.asset_checks,
    jobs=[getattr(project, name) for name in JOBS],
    sensors=[make_datahub_sensor(config=config)],
    executor=in_process_executor,
)
