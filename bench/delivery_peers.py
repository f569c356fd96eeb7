"""Proposals per run of the demo's flow ``load_shop``: what the bridge delivers, beside what others send for the same runs.

``python delivery_peers.py`` runs the real flow several times with the collector, and the same flow with ``prefect-datahub``'s
calls in it (where that is installed, ``pip install -c constraints.txt '.[bench]'``), against the stand-in for DataHub's
server of the tests.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "lib"))

from bridge_tests.gms import running
from proposals import Bridge, per_event

RUNS = 3
SHOP = Path(__file__).parents[1] / "examples" / "shop"

PEER = """
import os, sys
sys.path.insert(0, {shop!r})
import load_shop
from prefect import flow, task
from prefect_datahub.datahub_emitter import DatahubEmitter
from prefect_datahub.entities import Dataset

emitter = DatahubEmitter(datahub_rest_url=os.environ["STUB"])

@task
def load(table):
    load_shop.load.fn(table)
    emitter.add_task(
        inputs=[Dataset("file", f"{shop}/data/{{table}}.csv")], outputs=[Dataset("duckdb", f"warehouse.raw.{{table}}")]
    )

@flow(name="load-shop")
def run():
    for table in ("customers", "orders"):
        load.with_options(name=f"load_{{table}}")(table)
    emitter.emit_flow()

run()
"""


def environment(folder: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPENLINEAGE", "PREFECT", "DATAHUB"))
    }
    return kept | {
        "HOME": str(folder),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "DATAHUB_TELEMETRY_ENABLED": "false",
        "SHOP_WAREHOUSE": str(folder / "warehouse.duckdb"),
    }


def run(command: list[str], env: dict[str, str]) -> None:
    subprocess.run([sys.executable, *command], env=env, check=True, stdout=subprocess.DEVNULL, timeout=300)


def events_of_runs(folder: Path) -> Iterator[list[bytes]]:
    """The events of each run of the flow, as its collector tells them."""
    log = folder / "events.jsonl"
    collected = {
        "PREFECT_PLUGINS_ENABLED": "1",
        "OPENLINEAGE__TRANSPORT__TYPE": "file",
        "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": str(log),
        "OPENLINEAGE__TRANSPORT__APPEND": "true",
    }
    for _ in range(RUNS):
        run([str(SHOP / "load_shop.py")], environment(folder) | collected)
        yield [line for line in log.read_bytes().splitlines() if line.strip()]
        log.unlink()


def ours(runs: list[list[bytes]]) -> list[int]:
    """Proposals that are delivered after each run."""
    counts = []
    with Bridge() as bridge:
        for bodies in runs:
            bridge.hear(bodies)
            counts.append(bridge.delivered())
    return counts


def peer(folder: Path) -> list[int]:
    """Proposals that ``prefect-datahub`` sends in each run."""
    script = folder / "peer.py"
    script.write_text(PEER.format(shop=str(SHOP)))
    counts = []
    with running() as gms:
        for _ in range(RUNS):
            gms.reset()
            run([str(script)], environment(folder) | {"STUB": gms.url})
            counts.append(sum(entry.get("proposals", 0) for entry in gms.log))
    return counts


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = list(events_of_runs(folder))
        kinds = [json.loads(body)["eventType"] for body in runs[-1]]
        print(f"Proposals per run of load_shop (a flow with two tasks; {len(kinds)} events), run 1 to {RUNS}")
        print(f"  the bridge                       {ours(runs)}")
        print(f"  each event translated on its own {[per_event(bodies) for bodies in runs]}")
        if importlib.util.find_spec("prefect_datahub"):
            print(f"  prefect-datahub                  {peer(folder)}")
        else:
            print("  prefect-datahub is not installed: pip install -c constraints.txt '.[bench]'")


if __name__ == "__main__":
    main()
