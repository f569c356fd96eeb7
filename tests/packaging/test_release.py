"""What a release is made of: the sdist holds everything that a wheel is built from, and the workflow is what runs."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
STEPS = [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def build(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", target]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    [built] = target.iterdir()
    return built


@pytest.mark.system
def test_sdist_becomes_the_wheel(tmp_path):
    """A wheel that is built from the sdist holds what one from the checkout holds."""
    sdist = build("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    [source] = (tmp_path / "unpacked").iterdir()
    wheels = [build("wheel", each, tmp_path / name) for name, each in (("one", ROOT), ("other", source))]

    assert f"openlineage_bridge-{VERSION}" == source.name
    assert wheels[0].name == wheels[1].name
    assert {*names(wheels[0])} == {*names(wheels[1])}


def names(wheel: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True, check=True, timeout=60
    )
    return [line.split()[0] for line in done.stdout.splitlines()[1:]]


def test_changelog_begins_with_what_comes_next():
    """Above the released versions stands what is not released yet, or the version that is about to be."""
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")]

    assert headings[0].split()[1] in {"Unreleased", VERSION}


@pytest.mark.parametrize("step", [step for step in STEPS if "run" in step], ids=lambda step: step["run"][:30])
def test_workflow_commands(step):
    """Are what a shell understands."""
    subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True, timeout=10)


def test_workflow_publishes_what_was_built_and_no_secret_is_kept():
    """One build, checked before anything is published; publishing by trust, not by token."""
    assert "build" == WORKFLOW["jobs"]["publish"]["needs"]
    assert {} == WORKFLOW["permissions"]
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text()


def test_release_notes(tmp_path):
    """The workflow's words take exactly the section of the version out of a changelog."""
    [script] = [step["run"] for step in STEPS if "notes.md" in step.get("run", "")]
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 1.1.0\n\nnew\n\n## 1.0.0 (2026-01-01)\n\n- old\n\n## 0.9.0\n\nx\n"
    )
    only_notes = script[: script.index("gh release")]
    subprocess.run(
        ["bash", "-eu", "-c", only_notes],
        cwd=tmp_path,
        env={"GITHUB_REF_NAME": "v1.0.0", "PATH": "/usr/bin:/bin"},
        check=True,
        timeout=10,
    )

    assert "- old" == (tmp_path / "notes.md").read_text().strip()
