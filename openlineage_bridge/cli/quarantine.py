"""``openlineage-bridge quarantine``: what was refused or could not be processed, with the reason; and what becomes of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from openlineage_bridge.cli.options import (
    config_option,
    format_option,
    load_config,
    store_option,
    store_path,
    translator_of,
)

if TYPE_CHECKING:
    from openlineage_bridge.recovery import Report
    from openlineage_bridge.store import Store
    from openlineage_bridge.store.quarantine import Quarantined

Command = TypeVar("Command", bound=Callable[..., object])


@click.group("quarantine")
def command() -> None:
    """Look at what was refused or could not be processed, with the reason and the bytes; try it again, or drop it.

    \b
    Examples:
      openlineage-bridge quarantine list --store bridge.db
      openlineage-bridge quarantine show 3 --store bridge.db > event.json
      openlineage-bridge quarantine retry --all --store bridge.db
      openlineage-bridge quarantine retry 3 4 --url http://127.0.0.1:5000
    """


@command.command("list")
@store_option
@config_option
@format_option("text", "json", "jsonl")
def list_(store: Path | None, config_file: Path | None, format_: str) -> None:
    """One line for each: number, stage, where it came from, when, how often it failed, and why.

    \b
    Example:
      openlineage-bridge quarantine list --store bridge.db --format jsonl | jq -r .reason
    """
    from openlineage_bridge.cli.output import moment, plain, print_json, print_lines, table

    entries = _entries(store, config_file)
    data = [
        {
            "id": each.id,
            "stage": each.failure.stage,
            "from": each.receiver,
            "received": each.received,
            "failed": each.failed,
            "attempts": each.attempts,
            "error": each.failure.error,
            "reason": each.failure.reason,
        }
        for each in entries
    ]
    if format_ == "json":
        print_json(data)
    elif format_ == "jsonl":
        print_lines(data)
    elif not entries:
        click.echo("the quarantine is empty", err=True)
    else:
        table(
            (
                str(each.id),
                each.failure.stage,
                moment(each.received * 1000),
                plain(each.receiver),
                f"{each.attempts} times",
                plain(_last_line(each.failure.reason)),
            )
            for each in entries
        )


@command.command()
@click.argument("number", type=int)
@store_option
@config_option
def show(number: int, store: Path | None, config_file: Path | None) -> None:
    """The original bytes of one entry on stdout, all that is known of the failure on stderr.

    \b
    Example:
      openlineage-bridge quarantine show 3 --store bridge.db > event.json
    """
    from openlineage_bridge.cli.output import moment, plain
    from openlineage_bridge.errors import ConfigError

    for each in _entries(store, config_file):
        if each.id == number:
            click.echo(
                f"{each.failure.stage}, from {plain(each.receiver)}, received {moment(each.received * 1000)}, "
                f"failed {each.attempts} times, last {moment(each.failed * 1000)} UTC",
                err=True,
            )
            for line in each.failure.reason.splitlines():
                click.echo(plain(line), err=True)
            sys.stdout.buffer.write(each.body)
            return
    raise ConfigError(f"there is no number {number} in quarantine: `quarantine list` shows what there is")


def _which(command: Command) -> Command:
    """The arguments that say which entries, and who has the store open."""
    for option in (
        click.option("--url", help="The bridge that runs, and has the store open; its address."),
        click.option(
            "--token",
            envvar="OPENLINEAGE_BRIDGE_TOKEN",
            help="With --url: a token for everything.  [default: $OPENLINEAGE_BRIDGE_TOKEN]",
        ),
        click.option("--all", "everything", is_flag=True, help="All entries."),
        click.argument("numbers", type=int, nargs=-1),
        store_option,
        config_option,
    ):
        command = option(command)
    return command


@command.command()
@_which
def retry(
    numbers: tuple[int, ...],
    store: Path | None,
    config_file: Path | None,
    url: str | None,
    token: str | None,
    *,
    everything: bool,
) -> None:
    """Process entries again, after their cause is mended: NUMBERS, or --all.

    Where the bridge is running, name its address with --url; where it is not, the store is opened here. What fails
    again is in quarantine again.

    \b
    Examples:
      openlineage-bridge quarantine retry --all --store bridge.db
      openlineage-bridge quarantine retry 3 4 --url http://127.0.0.1:5000
    """
    wanted = _wanted(numbers, everything)
    report = _asked(url, token, "retry", wanted) if url else _retried(store, config_file, wanted)
    _tell(report, "on its way again", "on their way again")


@command.command()
@_which
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(
    numbers: tuple[int, ...],
    store: Path | None,
    config_file: Path | None,
    url: str | None,
    token: str | None,
    *,
    everything: bool,
    yes: bool,
) -> None:
    """Forget entries for good: NUMBERS, or --all. What they said is then nowhere.

    \b
    Example:
      openlineage-bridge quarantine drop 3 --yes --store bridge.db
    """
    wanted = _wanted(numbers, everything)
    what = "everything in quarantine" if wanted is None else f"{len(wanted)} of what is in quarantine"
    if not yes:
        click.confirm(f"Forget {what} for good?", abort=True, err=True)
    report = _asked(url, token, "drop", wanted) if url else _dropped(store, config_file, wanted)
    _tell(report, "dropped", "dropped")


def _wanted(numbers: tuple[int, ...], everything: bool) -> Collection[int] | None:
    from openlineage_bridge.errors import ConfigError

    if everything == bool(numbers):
        raise ConfigError("say which: numbers, as `quarantine list` shows them, or --all")
    return None if everything else set(numbers)


def _asked(url: str, token: str | None, operation: str, numbers: Collection[int] | None) -> Report:
    from openlineage_bridge.cli.remote import operate

    return operate(url, token, operation, numbers)


def _retried(store: Path | None, config_file: Path | None, numbers: Collection[int] | None) -> Report:
    from openlineage_bridge.pipeline import Pipeline
    from openlineage_bridge.recovery import retry

    config = load_config(config_file, store=store)
    translator = translator_of(config)
    with _open(config.store) as opened:
        report = retry(opened, numbers)
        Pipeline(opened, translator, config.lineage_window).drain()
    return report


def _dropped(store: Path | None, config_file: Path | None, numbers: Collection[int] | None) -> Report:
    from openlineage_bridge.recovery import drop

    with _open(store_path(config_file, store)) as opened:
        return drop(opened, numbers)


def _open(path: Path) -> Store:
    """The store, for writing; it has to exist."""
    from openlineage_bridge.errors import StorageError
    from openlineage_bridge.store import Store
    from openlineage_bridge.store.database import open_readonly

    open_readonly(path).close()
    try:
        return Store(path)
    except StorageError as error:
        raise StorageError(f"{error}; to have it do this, name its address with --url") from None


def _tell(report: Report, one: str, several: str) -> None:
    from openlineage_bridge.cli.output import plain

    for number, reason in report.refused.items():
        click.echo(f"{number} stays: {plain(_last_line(reason))}", err=True)
    for number in report.unknown:
        click.echo(f"{number} is not in quarantine", err=True)
    click.echo(f"{len(report.done)} {one if len(report.done) == 1 else several}", err=True)
    click.get_current_context().exit(3 if report.refused or report.unknown else 0)


def _entries(store: Path | None, config_file: Path | None) -> list[Quarantined]:
    from openlineage_bridge.store.database import open_readonly
    from openlineage_bridge.store.quarantine import quarantined

    with closing(open_readonly(store_path(config_file, store))) as connection:
        return quarantined(connection)


def _last_line(reason: str) -> str:
    """Of a traceback, the line that names the error."""
    return reason.strip().splitlines()[-1] if reason.strip() else ""
