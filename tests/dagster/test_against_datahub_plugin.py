"""The same runs through DataHub's Dagster plugin and through this collector: what it gets right, we have."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PEERS = PROJECT / ".versions" / "dagster-peers"
"""An environment for the plugin, which pins another sqlglot than the other tests run on: `make test-datahub-plugins`."""


def interpreter() -> str | None:
    if importlib.util.find_spec("datahub_dagster_plugin") is not None:
        return sys.executable
    return str(PEERS / "bin" / "python") if (PEERS / ".prepared").exists() else None


@pytest.mark.system
@pytest.mark.timeout(900)
def test_every_entity_and_edge_of_the_plugin_is_ours_or_has_a_reason():
    """Down to URNs, over the documented shapes of its jobs, others, and the golden project.

    `make bench-dagster` prints the whole comparison.
    """
    python = interpreter()
    if python is None:
        pytest.skip("acryl-datahub-dagster-plugin is not installed: `make test-datahub-plugins` installs it")

    done = subprocess.run(
        [python, "dagster_compare.py"],
        cwd=PROJECT / "bench",
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )

    assert "NO REASON KNOWN" not in done.stdout
    assert done.stdout.count("entities of the plugin that are ours too") == 5
    assert done.returncode == 0, done.stderr[-2000:]
