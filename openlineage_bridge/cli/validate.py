"""``openlineage-bridge validate``: what is wrong with events, by file, line and JSON path, and with a configuration."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from openlineage_bridge.cli.options import (
    config_option,
    destinations_of,
    format_option,
    load_config,
    translator_of,
)

if TYPE_CHECKING:
    from openlineage_bridge.receivers.files import Reading
    from openlineage_bridge.specification.findings import Finding, Verdict


@click.command("validate")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option(
    "--strict/--lenient",
    default=False,
    show_default=True,
    help="Whether every violation of the specification counts, or only what the bridge would refuse.",
)
@config_option
@format_option("text", "json", "jsonl")
def command(paths: tuple[str, ...], strict: bool, config_file: Path | None, format_: str) -> None:
    """Tell what is wrong with the events of PATH... by file, line and JSON path, and which rule of the specification says so.

    PATH is what `replay` takes. Events are held against the JSON schemas of OpenLineage 2-0-2 and of its facets. Both ways tell
    everything; with --lenient the exit code is 3 only for events that the bridge would refuse, with --strict for every violation.
    Without a PATH the configuration is checked.

    \b
    Examples:
      openlineage-bridge validate events/*.jsonl
      openlineage-bridge validate --strict --format jsonl events/ | jq -r .rule | sort | uniq -c
      openlineage-bridge validate --config openlineage-bridge.yml
    """
    if not paths:
        _check_configuration(config_file)
    from openlineage_bridge.receivers.files import Reading, events_in
    from openlineage_bridge.receivers.sources import find
    from openlineage_bridge.specification.findings import Verdict, findings

    reading, verdict = Reading(), Verdict()
    _print(findings(events_in(find(paths), reading), verdict), format_)
    _summarise(verdict, reading)
    wrong = verdict.violating if strict else verdict.refused
    click.get_current_context().exit(3 if wrong or reading.problems else 0)


def _check_configuration(config_file: Path | None) -> NoReturn:
    """Everything that `serve` would read, without a connection to anything.

    Raises:
        ConfigError: Something is wrong.
    """
    config = load_config(config_file)
    translator_of(config)
    destinations = destinations_of(config)
    for each in destinations.values():
        each.close()
    names = ", ".join(destinations) or "none, everything stays in the store"
    click.echo(f"the configuration is in order; store: {config.store}, destinations: {names}", err=True)
    click.get_current_context().exit(0)


def _print(found: Iterable[Finding], format_: str) -> None:
    import attrs

    from openlineage_bridge.cli.output import plain, print_json, print_lines

    if format_ == "json":
        print_json([attrs.asdict(each) for each in found])
    elif format_ == "jsonl":
        print_lines(attrs.asdict(each) for each in found)
    else:
        for each in found:
            rule = f" ({each.rule})" if each.rule else ""
            click.echo(f"{plain(each.where)}: {plain(each.path)}: {plain(each.message)}{rule}")


def _summarise(verdict: Verdict, reading: Reading) -> None:
    from openlineage_bridge.cli.output import counted

    for problem in [*reading.problems, *(f"{name}: the file is empty" for name in reading.empty)]:
        click.echo(problem, err=True)
    click.echo(
        f"{counted(verdict.events, 'event')} from {counted(reading.files, 'file')}: {verdict.violating:,} "
        f"not as the specification says ({counted(verdict.violations, 'violation')}), {verdict.refused:,} of them would be refused",
        err=True,
    )
