"""What the commands open before they can work: the instance, the code, the backend; and what they say when they cannot."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openlineage_bridge_dagster.process import Unavailable

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from openlineage_bridge_dagster.delivery import Send
    from openlineage_bridge_dagster.reading import Reader
    from openlineage_bridge_dagster.workspace import Loaded, Workspace


def workspace_of(
    files: tuple[Path, ...], modules: tuple[str, ...], python_files: tuple[Path, ...], folder: Path | None
) -> Workspace:
    """Where the code is, as the options say."""
    from openlineage_bridge_dagster.workspace import Workspace

    return Workspace(files, modules, python_files, folder)


def loaded(reader: Reader, instance: DagsterInstance, workspace: Workspace) -> Loaded | None:
    """What the code says, which the reader takes over; None where no code is named.

    Raises:
        UsageError: The workspace cannot be loaded.
    """
    from openlineage_bridge_dagster.workspace import load

    if not workspace:
        return None
    try:
        found = load(instance, workspace)
    except Exception as error:
        raise click.UsageError(f"the workspace cannot be loaded: {error}") from error
    for problem in found.problems:
        click.echo(problem, err=True)
    click.echo(f"{found.assets:,} assets are defined in the workspace", err=True)
    reader.definitions = found.definitions
    return found


def reader_of(instance: DagsterInstance) -> Reader:
    """A reader with the environment's settings.

    Raises:
        UsageError: A variable cannot be read.
    """
    from openlineage_bridge_dagster import environment

    with settings_said_plainly():
        reader = environment.reader()
    reader.instance = instance
    return reader


@contextlib.contextmanager
def settings_said_plainly() -> Iterator[None]:
    """Turns a variable that cannot be read into a usage error."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@contextlib.contextmanager
def instance_of_home() -> Iterator[DagsterInstance]:
    """The instance that DAGSTER_HOME names.

    Raises:
        UsageError: It names none.
        Unavailable: Its storage cannot be opened.
    """
    from dagster import DagsterError, DagsterInstance

    try:
        found = DagsterInstance.get()
    except DagsterError as error:
        raise click.UsageError(f"DAGSTER_HOME names no Dagster instance: {error}") from error
    except Exception as error:
        raise Unavailable(f"Dagster's storage cannot be opened: {type(error).__name__}: {error}") from error
    with found as instance:
        yield instance


@contextlib.contextmanager
def instance_or_none_yet() -> Iterator[DagsterInstance]:
    """The instance that DAGSTER_HOME names; an empty one, gone afterwards, where it is not set.

    Raises:
        UsageError, Unavailable: As ``instance_of_home``.
    """
    from dagster import DagsterInstance

    if home():
        with instance_of_home() as instance:
            yield instance
    else:
        click.echo("DAGSTER_HOME is not set: what has run already is not known", err=True)
        # One with files, though nobody needs them: Dagster starts code servers for no other.
        with tempfile.TemporaryDirectory() as folder, DagsterInstance.local_temp(folder) as instance:
            yield instance


def home() -> str:
    """The folder of the instance, as the environment says; empty where it does not."""
    return os.environ.get("DAGSTER_HOME", "")


def state_path(home: str, what: str) -> Path:
    """Where the state of ``what`` is kept for a ``DAGSTER_HOME``."""
    from openlineage_bridge_capture.statefile import default_path

    return default_path(f"dagster-{what}", str(Path(home).expanduser().absolute()))


def backend() -> Send:
    """Sends an event to the backend that is configured.

    Raises:
        UsageError: None is.
    """
    from openlineage_bridge_capture import client
    from openlineage_bridge_capture.settings import configured

    if not configured():
        raise click.UsageError("there is nowhere to send events to: set OPENLINEAGE_URL")
    return client.send


def to_stdout(event: Any) -> None:
    """Print an event as one line of JSON."""
    from openlineage.client.serde import Serde

    click.echo(Serde.to_json(event))
