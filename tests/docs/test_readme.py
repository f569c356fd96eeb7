"""What the README tells a newcomer to type works as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from openlineage_bridge.config import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^\$ openlineage-bridge (.*)$", README, flags=re.MULTILINE)
FINITE = [command for command in COMMANDS if not command.startswith(("serve", "prefect ", "dagster "))]
"""Those that end by themselves and need no orchestrator; ``prefect`` and ``dagster`` have tests of their own against one."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as the README supposes it: a checkout in which nothing was done yet."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


def test_commands_in_order(folder):
    """Every command that ends by itself ends well, in the order of the page."""
    assert len(FINITE) >= 6
    for command in FINITE:
        arguments = shlex.split(command, comments=True)
        done = subprocess.run(
            [sys.executable, "-m", "openlineage_bridge", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (command, 0, done.stderr) == (command, done.returncode, done.stderr)


def test_configuration(tmp_path):
    """The configuration that is shown is accepted."""
    [block] = re.findall(r"```yaml\n(# openlineage-bridge.yml\n.*?)```", README, flags=re.DOTALL)
    file = tmp_path / "openlineage-bridge.yml"
    file.write_text(block)

    config = load(file, environ={"DATAHUB_GMS_URL": "http://localhost:8080", "DATAHUB_GMS_TOKEN": "t"})

    assert "rest" == config.translator_options["sink"]


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_links(target):
    """Links into the repository lead somewhere."""
    assert target.startswith("https://") or (ROOT / target).exists()
