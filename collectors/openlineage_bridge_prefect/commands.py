"""``openlineage-bridge prefect``: observe a Prefect server or workspace from outside, now or in the past."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import threading

    from openlineage_bridge_prefect.watch.api import Api
    from openlineage_bridge_prefect.watch.backfill import Backfill
    from openlineage_bridge_prefect.watch.backfill import Tally as BackfillTally
    from openlineage_bridge_prefect.watch.reading import Reader
    from openlineage_bridge_prefect.watch.watcher import Watcher

TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]

ATTEMPTS = 6
"""How often the back-fill tries a request; the watcher tries again at its next turn."""

api_option = click.option(
    "--api-url",
    metavar="URL",
    help="Prefect's API. Default: PREFECT_API_URL, from the environment or the active profile.",
)
pace_option = click.option(
    "--max-requests-per-second",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="The most that Prefect's API is asked.",
)
state_option = click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to keep how far it has come. Default: a file for each API below $XDG_STATE_HOME/openlineage-bridge.",
)


@click.group()
def prefect() -> None:
    """Observe Prefect from outside: no collector in its processes, no import of Prefect.

    Signs in with PREFECT_API_KEY or PREFECT_API_AUTH_STRING; events go where OPENLINEAGE_URL (or any other setting of
    OpenLineage's client) points.

    \b
    Examples:
      openlineage-bridge prefect watch
      openlineage-bridge prefect backfill --since 2026-01-01
    """  # noqa: D301  # \b is click's mark: leave these lines as they are


@prefect.command()
@api_option
@state_option
@pace_option
@click.option(
    "--since",
    type=click.DateTime(TIMES),
    help="Where to begin when there is no state yet (UTC, at most a week ago). Default: now.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=3.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option(
    "--heartbeat",
    type=click.FloatRange(min=1),
    default=180.0,
    show_default=True,
    envvar="PREFECT_FLOWS_HEARTBEAT_FREQUENCY",
    help="Seconds between the heartbeats of flow runs; a run that misses three is closed.",
)
@click.option("--once", is_flag=True, help="Look once and leave; for cron.")
def watch(
    *,
    api_url: str | None,
    state: Path | None,
    max_requests_per_second: float,
    since: datetime | None,
    every: float,
    heartbeat: float,
    once: bool,
) -> None:
    """Follow the event stream, and report what happens as the collector would.

    Beside the collector it adds what no process of a run can tell: its death, and what was set from outside. Safe to stop
    and start again.

    \b
    Example:
      PREFECT_API_URL=http://127.0.0.1:4200/api openlineage-bridge prefect watch
    """  # noqa: D301  # \b is click's mark: leave these lines as they are
    from openlineage_bridge_prefect.watch.watcher import Watcher, cursor_at, keep_in, summary
    from openlineage_bridge_prefect.watch.watcher import watch as follow

    _log_to_stderr()
    stop = _stop_on_signals()
    api, path = _api(api_url, max_requests_per_second, stop), state
    path = path or _default_state(api, "watch")
    with _said_plainly():
        cursor = cursor_at(path, _utc(since) if since else datetime.now(UTC))
        watcher = Watcher(
            api, cursor, _reader(api, cursor.born), keep_in(path), heartbeat=heartbeat, stop=stop.is_set
        )
        click.echo(f"Watching {api.connection.api} from {cursor.position:%Y-%m-%d %H:%M:%S} UTC", err=True)
        if once:
            watcher.turn()
        else:
            follow(watcher, every, stop)
    click.echo(summary(watcher.tally), err=True)
    _leave(watcher)


@prefect.command()
@api_option
@state_option
@pace_option
@click.option(
    "--since", type=click.DateTime(TIMES), required=True, help="Runs that were to start from then on (UTC)."
)
@click.option("--until", type=click.DateTime(TIMES), help="… and before then. Default: now.")
@click.option("--restart", is_flag=True, help="Begin anew, although an earlier back-fill was not finished.")
def backfill(
    *,
    api_url: str | None,
    state: Path | None,
    max_requests_per_second: float,
    since: datetime,
    until: datetime | None,
    restart: bool,
) -> None:
    """Report runs of the past, from what Prefect keeps of them.

    Safe to repeat; when it is stopped, the same command goes on where it was.

    \b
    Example:
      openlineage-bridge prefect backfill --since 2026-01-01 --until 2026-02-01
    """  # noqa: D301  # \b is click's mark: leave these lines as they are
    from openlineage_bridge_prefect.watch.backfill import Backfill, mark_for
    from openlineage_bridge_prefect.watch.cursor import load, save

    stop = _stop_on_signals()
    api, now = _api(api_url, max_requests_per_second, stop, ATTEMPTS), datetime.now(UTC)
    path = state or _default_state(api, "backfill")
    with _said_plainly():
        mark = mark_for(
            None if restart else load(path), _utc(since), _utc(until) if until is not None else None, now
        )
        work = Backfill(api, _reader(api), mark, lambda done: save(path, done.to_json()), now=now)
        finished = _go_through(work, stop)
    _summarise(work.tally)
    if not finished:
        click.echo("Stopped; the same command goes on from here.", err=True)
        click.get_current_context().exit(130)
    click.get_current_context().exit(3 if work.tally.refused or work.tally.unreadable else 0)


def _go_through(work: Backfill, stop: threading.Event) -> bool:
    """Show how far it is, on a terminal; whether it came to its end."""
    with click.progressbar(length=work.count(), label="flow runs", file=sys.stderr, show_pos=True) as bar:
        for number in work.run():
            bar.update(number)
            if stop.is_set():
                return False
    return True


def _summarise(tally: BackfillTally) -> None:
    text = f"{tally.flow_runs:,} flow runs and {tally.task_runs:,} task runs, {tally.delivered:,} events sent"
    more = {"refused": tally.refused, "runs unreadable": tally.unreadable}
    click.echo(text + "".join(f", {number:,} {what}" for what, number in more.items() if number), err=True)


def _leave(watcher: Watcher) -> None:
    click.get_current_context().exit(3 if watcher.tally.refused or watcher.tally.unreadable else 0)


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _api(api_url: str | None, requests_per_second: float, stop: threading.Event, attempts: int = 1) -> Api:
    from openlineage_bridge_capture.settings import configured
    from openlineage_bridge_prefect.watch.api import Api
    from openlineage_bridge_prefect.watch.connection import ConnectionSettingsError, connection

    if not configured():
        raise click.UsageError("there is nowhere to send events to: set OPENLINEAGE_URL")
    try:
        return Api(connection(api_url), requests_per_second, attempts=attempts, wait=stop.wait)
    except ConnectionSettingsError as error:
        raise click.UsageError(str(error)) from error


def _reader(api: Api, born: datetime | None = None) -> Reader:
    from openlineage_bridge_prefect.watch.directory import Directory
    from openlineage_bridge_prefect.watch.reading import Reader

    return Reader(Directory(api), api.connection, api.version(), born)


def _default_state(api: Api, what: str) -> Path:
    from openlineage_bridge_prefect.watch.cursor import default_path

    return default_path(api.connection.api, what)


def _stop_on_signals() -> threading.Event:
    """An event that the first SIGTERM or Ctrl-C sets; the second has its usual effect."""
    import signal
    import threading

    stop = threading.Event()

    def ask(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return stop


def _log_to_stderr() -> None:
    """A line for each hundred runs, each run that is closed, and each failure."""
    import logging

    logger, handler = logging.getLogger("openlineage_bridge"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


class _Unavailable(click.ClickException):
    """Prefect or the backend cannot be reached: exit code 4, as for every destination that is away."""

    exit_code = 4


@contextlib.contextmanager
def _said_plainly() -> Iterator[None]:
    """Turns what can go wrong into one sentence and an exit code."""
    from openlineage_bridge_capture.statefile import StateFileError
    from openlineage_bridge_prefect.watch.api import ApiError
    from openlineage_bridge_prefect.watch.delivery import DeliveryError

    try:
        yield
    except StateFileError as error:
        raise click.UsageError(str(error)) from error
    except (ApiError, DeliveryError) as error:
        raise _Unavailable(str(error)) from error
