"""``openlineage-bridge dagster``: observe a Dagster instance in a process of its own, now or in the past."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from openlineage_bridge_dagster.opening import (
    backend,
    home,
    instance_of_home,
    instance_or_none_yet,
    loaded,
    reader_of,
    settings_said_plainly,
    state_path,
    to_stdout,
    workspace_of,
)
from openlineage_bridge_dagster.process import (
    Reload,
    broken_off,
    log_to_stderr,
    said_plainly,
    stop_on_signals,
)

if TYPE_CHECKING:
    import threading

    from openlineage_bridge_dagster.backfill import Backfill, Mark
    from openlineage_bridge_dagster.backfill import Tally as BackfillTally
    from openlineage_bridge_dagster.delivery import Send
    from openlineage_bridge_dagster.reading import Reader
    from openlineage_bridge_dagster.repository import Repository
    from openlineage_bridge_dagster.tailer import Tailer
    from openlineage_bridge_dagster.workspace import Workspace

TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]

REST = 5.0
"""Seconds that a run which cannot be read is left alone, times its failures."""

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])

WORKSPACE_OPTIONS = (
    click.option(
        "-w",
        "--workspace",
        "files",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Workspace file of the code, for owners, groups, tags, descriptions and dependencies. Default: none; then "
        "lineage comes from the log alone.",
    ),
    click.option("-m", "--module-name", "modules", multiple=True, help="Python module of the code."),
    click.option(
        "-f",
        "--python-file",
        "python_files",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Python file of the code.",
    ),
    click.option(
        "-d",
        "--working-directory",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Where module and file are looked for. Default: the current folder.",
    ),
)


def workspace_options(command: AnyCommand) -> AnyCommand:
    """The options with which Dagster's own commands are told where code is; the command gets them as ``workspace()``."""

    @functools.wraps(command)
    def told(
        *,
        files: tuple[Path, ...],
        modules: tuple[str, ...],
        python_files: tuple[Path, ...],
        working_directory: Path | None,
        **others: Any,
    ) -> Any:
        chosen = functools.partial(workspace_of, files, modules, python_files, working_directory)
        return command(workspace=chosen, **others)

    decorated: Any = told
    for option in reversed(WORKSPACE_OPTIONS):
        decorated = option(decorated)
    return cast("AnyCommand", decorated)


def state_option(command: AnyCommand) -> AnyCommand:
    """Where a command keeps how far it has come."""
    return click.option(
        "--state",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Where to keep how far it has come. Default: a file for each DAGSTER_HOME below "
        "$XDG_STATE_HOME/openlineage-bridge.",
    )(command)


@click.group()
def dagster() -> None:
    """Observe a Dagster instance from a process of its own: DAGSTER_HOME says which.

    Tells what the sensor tells, to the byte, so both may be at work. Events go where OPENLINEAGE_URL (or any other setting
    of OpenLineage's client) points.

    \b
    Example:
      openlineage-bridge dagster tail -w workspace.yaml
      openlineage-bridge dagster backfill --since 2026-01-01
    """  # noqa: D301  # \b keeps the example's lines apart in --help


@dagster.command()
@workspace_options
@state_option
@click.option(
    "--since",
    type=click.DateTime(TIMES),
    help="Runs created from then on (UTC), when there is no state yet. Default: now.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0.05),
    default=0.5,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Deliver what is there now and leave; for cron.")
def tail(
    *,
    workspace: Callable[[], Workspace],
    state: Path | None,
    since: datetime | None,
    every: float,
    once: bool,
) -> None:
    """Follow every run of the instance, half a second behind it.

    Waits while the backend is away, and goes on where it was when started again. SIGHUP loads the code anew.

    \b
    Example:
      openlineage-bridge dagster tail -m my_project.definitions
    """  # noqa: D301  # as above
    from openlineage_bridge_dagster import environment
    from openlineage_bridge_dagster.tailer import catch_up, follow

    log_to_stderr()
    with settings_said_plainly():
        declares = environment.static_lineage()
    stop, reload = stop_on_signals(), Reload()
    with said_plainly(), broken_off(), _tailer(state, since, stop) as tailer:
        code = workspace()
        _load(tailer, code, declares=declares)
        reload.on_hangup()
        click.echo(f"Tailing the runs of {home()}", err=True)
        if once:
            catch_up(tailer, stop)
        else:
            follow(tailer, every, stop, _reloading(tailer, code, reload, declares=declares))
    tally = tailer.tally
    click.echo(_counted(tally.delivered, **{"runs or events given up": tally.given_up}), err=True)
    click.get_current_context().exit(3 if tally.given_up else 0)


@dagster.command()
@workspace_options
@state_option
@click.option("--since", type=click.DateTime(TIMES), help="Runs created from then on (UTC).")
@click.option("--until", type=click.DateTime(TIMES), help="… and before then. Default: now.")
@click.option("--job", "jobs", multiple=True, help="Runs of this job only. May be given more than once.")
@click.option("--run-id", "run_ids", multiple=True, help="This run only. May be given more than once.")
@click.option("--dry-run", is_flag=True, help="Print the events, one per line, instead of sending them.")
@click.option("--restart", is_flag=True, help="Begin anew, although an earlier back-fill was not finished.")
def backfill(
    *,
    workspace: Callable[[], Workspace],
    state: Path | None,
    since: datetime | None,
    until: datetime | None,
    jobs: tuple[str, ...],
    run_ids: tuple[str, ...],
    dry_run: bool,
    restart: bool,
) -> None:
    """Tell what happened in the past, from the logs that Dagster keeps.

    Safe to repeat, and beside the sensor or the tailer; when it is stopped, the same command goes on where it was.

    \b
    Example:
      openlineage-bridge dagster backfill --since 2026-01-01 --until 2026-02-01
      openlineage-bridge dagster backfill --since 2026-01-01 --dry-run > events.jsonl
    """  # noqa: D301  # as above
    if (since is None) == (not run_ids):
        raise click.UsageError("say which part of history: --since, or --run-id")
    log_to_stderr()
    stop, keeps = stop_on_signals(), not dry_run and not run_ids
    with (
        said_plainly(),
        instance_of_home() as instance,
        _held(state or state_path(home(), "backfill"), needed=keeps) as path,
    ):
        mark = _mark(path, since, until, jobs, run_ids, restart=restart)
        reader = reader_of(instance)
        loaded(reader, instance, workspace())
        work = _backfill(reader, mark, path, stop, dry_run=dry_run)
        with broken_off():
            _go_through(work, stop)
    _summarise(work.tally)
    if not mark.done:
        click.echo("Stopped; the same command goes on from here." if keeps else "Stopped.", err=True)
        click.get_current_context().exit(130)
    click.get_current_context().exit(3 if work.tally.refused or work.tally.unreadable else 0)


@dagster.command()
@workspace_options
@click.option("--dry-run", is_flag=True, help="Print the events, one per line, instead of sending them.")
def lineage(
    *,
    workspace: Callable[[], Workspace],
    dry_run: bool,
) -> None:
    """Tell once the graph of jobs and assets that the code declares, before anything has run.

    The sensor does so of its code location, and `tail` of its workspace. Where DAGSTER_HOME names an instance, what its
    runs have told stays: they know more.

    \b
    Example:
      openlineage-bridge dagster lineage -m my_project.definitions
      openlineage-bridge dagster lineage -w workspace.yaml --dry-run > graph.jsonl
    """  # noqa: D301  # as above
    code = workspace()
    if not code:
        raise click.UsageError("say where the code is: -w, -m or -f")
    log_to_stderr()
    send = to_stdout if dry_run else backend()
    with said_plainly(), instance_or_none_yet() as instance:
        reader = reader_of(instance)
        found = loaded(reader, instance, code)
        assert found is not None, "the workspace names code"
        delivered, refused = _tell(found.repositories, reader, send)
    click.echo(_counted(delivered, refused=refused), err=True)
    click.get_current_context().exit(3 if refused or found.problems else 0)


def _tell(repositories: tuple[Repository, ...], reader: Reader, send: Send) -> tuple[int, int]:
    """How many events were delivered, and how many refused."""
    import time

    from openlineage_bridge_dagster.announcing import declared_events
    from openlineage_bridge_dagster.delivery import RefusedError, deliver

    delivered = refused = 0
    for repository in repositories:
        for event in declared_events(repository, reader, time.time()):
            try:
                deliver(send, event)
                delivered += 1
            except RefusedError as error:
                click.echo(str(error), err=True)
                refused += 1
    return delivered, refused


@contextlib.contextmanager
def _tailer(state: Path | None, since: datetime | None, stop: threading.Event) -> Iterator[Tailer]:
    from openlineage_bridge_capture.statefile import keeper
    from openlineage_bridge_dagster.tail import Tail
    from openlineage_bridge_dagster.tailer import Tailer

    with instance_of_home() as instance, _held(state or state_path(home(), "tail")) as path:
        assert path is not None, "a tailer keeps its state"
        core = Tail(backend(), reader_of(instance), rest=REST, stop=stop.is_set)
        cursor = _cursor(path) or core.begin(instance, _seconds(since))
        yield Tailer(core, instance, cursor, keeper(path))


def _cursor(path: Path) -> Any:
    from openlineage_bridge_capture.statefile import StateFileError, load
    from openlineage_bridge_dagster.cursor import Cursor

    saved = load(path)
    try:
        return Cursor.from_json(saved) if saved is not None else None
    except (KeyError, TypeError, ValueError) as error:
        raise StateFileError(f"{path} is no state of this version; move it away to start anew") from error


def _mark(
    path: Path | None,
    since: datetime | None,
    until: datetime | None,
    jobs: tuple[str, ...],
    run_ids: tuple[str, ...],
    *,
    restart: bool,
) -> Mark:
    import time

    from openlineage_bridge_capture.statefile import StateFileError, load
    from openlineage_bridge_dagster.backfill import Mark, Selection, mark_for

    now = time.time()
    if run_ids:
        return Mark(Selection(0.0, now, jobs, run_ids))
    saved = load(path) if path is not None and not restart else None
    try:
        return mark_for(saved, since=_seconds(since) or 0.0, until=_seconds(until), jobs=jobs, now=now)
    except ValueError as error:
        raise StateFileError(f"{path}: {error}; begin anew with --restart") from error


def _backfill(
    reader: Reader, mark: Mark, path: Path | None, stop: threading.Event, *, dry_run: bool
) -> Backfill:
    from openlineage_bridge_capture.statefile import keeper
    from openlineage_bridge_dagster.backfill import Backfill

    work = Backfill(reader, mark, to_stdout if dry_run else backend(), wait=stop.wait, stop=stop.is_set)
    if path is not None:
        work.keep = keeper(path)
    return work


def _go_through(work: Backfill, stop: threading.Event) -> None:
    """Show how far it is, on a terminal."""
    with click.progressbar(length=work.count(), label="runs", file=sys.stderr, show_pos=True) as bar:
        for _run in work.run():
            bar.update(1)
            if stop.is_set():
                return


def _summarise(tally: BackfillTally) -> None:
    counted = _counted(
        tally.delivered,
        refused=tally.refused,
        **{"runs or events unreadable": tally.unreadable, "runs not started yet": tally.not_started},
    )
    click.echo(f"{tally.runs:,} runs, {counted}", err=True)


def _counted(delivered: int, **more: int) -> str:
    return f"{delivered:,} events sent" + "".join(f", {n:,} {what}" for what, n in more.items() if n)


def _load(tailer: Tailer, workspace: Workspace, *, declares: bool) -> None:
    found = loaded(tailer.tail.reader, tailer.instance, workspace)
    if declares and found is not None:
        tailer.tail.announcer.declare(found.repositories)


def _reloading(tailer: Tailer, workspace: Workspace, reload: Reload, *, declares: bool) -> Callable[[], None]:
    """Loads the code anew when that is asked for; code that cannot be loaded leaves what is known in force."""

    def load() -> None:
        if reload.wanted:
            reload.wanted = False
            try:
                _load(tailer, workspace, declares=declares)
            except click.UsageError as error:
                click.echo(error.format_message(), err=True)

    return load


@contextlib.contextmanager
def _held(path: Path, *, needed: bool = True) -> Iterator[Path | None]:
    from openlineage_bridge_capture.statefile import held

    if not needed:
        yield None
        return
    with held(path):
        yield path


def _seconds(moment: datetime | None) -> float | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
