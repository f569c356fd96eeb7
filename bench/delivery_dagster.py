"""Proposals per run of a Dagster job: what the bridge delivers, beside DataHub's Dagster plugin for the same runs.

It needs an environment with ``acryl-datahub-dagster-plugin``: ``make bench-dagster`` makes it.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster_compare
import dagster_receiver
from dagster import DagsterInstance
from openlineage.client.serde import Serde
from proposals import Bridge, per_event

RUNS = 3
FILE = Path(__file__).with_name("dagster_project.py")


def counted(plugin: ModuleType, home: Path) -> dict[str, list[int]]:
    """Proposals by whom, for each run."""
    ours = importlib.import_module(dagster_compare.OUR_NAMES)
    found: dict[str, list[int]] = {"the bridge": [], "each event on its own": [], "DataHub's plugin": []}
    home.mkdir()
    with (
        DagsterInstance.local_temp(str(home)) as instance,
        dagster_receiver.listening(home) as gms,
        Bridge() as bridge,
    ):
        theirs_loaded, ours_loaded = dagster_compare.loaded(FILE, plugin), dagster_compare.loaded(FILE, ours)
        client = theirs_loaded.config.datahub_client_config.model_copy(update={"server": gms.url})
        config = theirs_loaded.config.model_copy(update={"datahub_client_config": client})
        their_sensor = plugin.make_datahub_sensor(config, monitor_all_code_locations=True)
        events: list[Any] = []
        our_sensor = ours.make_datahub_sensor(
            ours_loaded.config, monitor_all_code_locations=True, send=events.append
        )
        theirs = dagster_compare.tick(their_sensor, instance, theirs_loaded, None)
        mine = dagster_compare.tick(our_sensor, instance, ours_loaded, None)
        sent = 0
        for _ in range(RUNS):
            runs = dagster_compare.run_all(instance, ours_loaded)
            for _ in range(3 * runs + 3):
                theirs = dagster_compare.tick(their_sensor, instance, theirs_loaded, theirs)
            mine = dagster_compare.tick(our_sensor, instance, ours_loaded, mine)
            bodies = [Serde.to_json(event).encode() for event in events]
            events.clear()
            bridge.hear(bodies)
            proposed = sum(1 for _ in gms.proposals())
            found["the bridge"].append(bridge.delivered())
            found["each event on its own"].append(per_event(bodies))
            found["DataHub's plugin"].append(proposed - sent)
            sent = proposed
    return found


def main() -> None:
    if not dagster_compare.prepared():
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SHOP_FILE"] = str(Path(folder) / "shop.duckdb")
        print(f"Proposals, every job of {FILE.name} once, time 1 to {RUNS}")
        for name, counts in counted(dagster_compare.with_plugin(), Path(folder) / "home").items():
            print(f"  {name:24} {counts}")


if __name__ == "__main__":
    main()
