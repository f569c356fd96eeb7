"""The picture in the README is what the demo prints, and what its collectors say is what the specification allows."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the demo runs."""
    return tmp_path_factory.mktemp("readme")


@pytest.fixture(scope="module")
def said(folder):
    """What the demo prints, paths shortened as in the README."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("OPENLINEAGE")}
    command = [sys.executable, "-m", "openlineage_bridge", "demo", "--folder", ".demo"]
    done = subprocess.run(
        command, cwd=folder, env=own, capture_output=True, text=True, timeout=500, check=False
    )
    assert (0, done.stderr) == (done.returncode, done.stderr)
    return done.stdout.replace(f"{folder}/", "").replace(f"{ROOT}/", "")


def test_picture(said):
    """Line by line."""
    [picture] = re.findall(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)

    assert picture in said


def test_events_of_the_collectors_are_what_the_specification_allows(said, folder):
    """Every event of both collectors in the demo, the declared graph included, passes ``validate --strict``."""
    with closing(sqlite3.connect(folder / ".demo" / "bridge.db")) as connection:
        bodies = [body for (body,) in connection.execute("SELECT body FROM inbox")]
    (folder / "events.jsonl").write_bytes(b"\n".join(bodies))
    done = subprocess.run(
        [sys.executable, "-m", "openlineage_bridge", "validate", "--strict", "events.jsonl"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stdout)
    assert f"{len(bodies)} events from 1 file: 0 not as the specification says" in done.stderr
    assert len(bodies) > 20
