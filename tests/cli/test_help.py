"""The command line explains itself, and does so quickly."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from openlineage_bridge.cli import COLLECTED, COMMANDS, GROUP

HEAVY = (
    "msgspec",
    "sqlite3",
    "starlette",
    "uvicorn",
    "datahub",
    "openlineage",
    "prefect",
    "dagster",
    "yaml",
    "attrs",
)

IMPORTED = """
import sys
sys.argv = ["openlineage-bridge", *sys.argv[1:]]
from openlineage_bridge.cli import main
try:
    main()
except SystemExit:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["replay", "--help"], ["serve", "--help"], ["quarantine", "--help"]]
)
def test_help_imports_click_only(arguments):
    """Help is there at once, and on a machine that has the base installation only."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.startswith("Usage: openlineage-bridge")
    assert not {*HEAVY} & {*done.stderr.split()}


def test_help_lists_every_command(run):
    """With its first line."""
    said = run("--help")
    text = " ".join(said.out.split())

    assert 0 == said.code
    for name, line in {**COMMANDS, **COLLECTED}.items():
        assert f"{name} {line}" in text


@pytest.mark.parametrize("command", [*COMMANDS, *COLLECTED])
def test_every_command_has_an_example(run, command):
    """That starts as one would type it."""
    said = run(command, "--help")
    _, example, below = said.out.partition("\n  Example")

    assert (0, "", True) == (said.code, said.err, bool(example))
    assert f"openlineage-bridge {command}" in below


@pytest.mark.parametrize("arguments", [["nonsense"], ["Replay", "x"]])
def test_unknown_command(run, arguments):
    """Lists those that there are."""
    said = run(*arguments)

    assert (2, "") == (said.code, said.out)
    known = ", ".join([*COMMANDS, *sorted(COLLECTED)])
    assert f"no command {arguments[0]!r}: there are {known}" in " ".join(said.err.split())


def test_the_collectors_commands_are_those_of_the_entry_points():
    """Each of them has its line in ``--help``."""
    assert sorted(COLLECTED) == sorted(metadata.entry_points(group=GROUP).names)


def test_version(run):
    """Names the distribution."""
    assert "openlineage-bridge, version " in run("--version").out


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["replay", "nowhere.jsonl"],
        ["translate", "nowhere.jsonl"],
        ["lineage", "x", "--depth", "deep"],
        ["status", "--format", "xml"],
        ["export"],
        ["quarantine", "show", "first"],
        ["status", "--config", "nowhere.yml"],
        ["replay", "--to", "nowhere", "--store", "x.db", "."],
    ],
)
def test_usage(run, arguments, write, world):
    """What is asked wrongly is refused with code 2, on stderr, before anything happens."""
    write(world.run_event())
    said = run(*arguments)

    assert (2, "", True) == (said.code, said.out, bool(said.err))
    assert "Traceback" not in said.err
