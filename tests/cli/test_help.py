"""The command line explains itself, and does so quickly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata

import click
import pytest

from openlineage_bridge.cli import COLLECTED, COMMANDS, GROUP, group

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
    "arguments",
    [["--help"], *([command, "--help"] for command in ("replay", "serve", "validate", "quarantine"))],
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


def paths(command: click.Command = group, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command as its words, those below others included."""
    context = click.Context(command)
    names = command.list_commands(context) if isinstance(command, click.Group) else []
    below = [path for name in names for path in paths(command.get_command(context, name), (*above, name))]
    return [above, *below] if above else below


@pytest.mark.parametrize("path", paths(), ids=" ".join)
def test_every_command_has_an_example(run, path):
    """That starts as one would type it; so does every command below another."""
    said = run(*path, "--help")
    _, example, below = said.out.partition("\n  Example")

    assert (0, "", True) == (said.code, said.err, bool(example))
    assert f"openlineage-bridge {' '.join(path)}" in below


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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("openlineage-bridge re", {"replay", "retranslate", "redeliver"}),
        ("openlineage-bridge replay --dr", {"--dry-run"}),
        ("openlineage-bridge quarantine re", {"retry"}),
    ],
)
def test_completion_in_the_shell(words, expected):
    """Commands, those below them, and options are completed as click does it."""
    environment = os.environ | {
        "_OPENLINEAGE_BRIDGE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    program = "import sys; sys.argv = ['openlineage-bridge']; from openlineage_bridge.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert expected == {line.partition(",")[2] for line in done.stdout.splitlines()}


@pytest.mark.parametrize(
    ("said", "coloured"),
    [({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False), ({"FORCE_COLOR": "1"}, True), ({}, False)],
)
def test_colours(run, shop, monkeypatch, said, coloured):
    """``NO_COLOR`` wins; without a terminal there are none unless ``FORCE_COLOR`` asks for them."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    run("replay", shop, "--store", "bridge.db")

    assert coloured == ("\x1b[" in run("status", "--store", "bridge.db").out)


PRINTS_DATA = ("replay", "validate", "lineage", "explain", "verify", "status")


@pytest.mark.parametrize("command", PRINTS_DATA)
def test_what_prints_data_prints_it_for_programs_too(run, command):
    """``--format json``; ``translate`` and ``export`` print nothing else."""
    assert re.search(r"--format \[text\|json(\|jsonl)?\]", run(command, "--help").out)
