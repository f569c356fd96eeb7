"""What a workspace's code says about assets: loaded by Dagster's own code servers, copied, and the servers ended."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import (
    CompositeTarget,
    ModuleTarget,
    PythonFileTarget,
    WorkspaceFileTarget,
)

from openlineage_bridge_dagster.assets import Definitions, definitions_in
from openlineage_bridge_dagster.repository import Repository, remote_repository

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from dagster._core.workspace.load_target import WorkspaceLoadTarget


@attrs.frozen
class Workspace:
    """Where code is, in the words of Dagster's own commands.

    Args:
        files: Workspace files (``-w``).
        modules: Python modules (``-m``).
        python_files: Python files (``-f``).
        working_directory: Where modules and files are looked for (``-d``).
    """

    files: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()
    python_files: tuple[Path, ...] = ()
    working_directory: Path | None = None

    def __bool__(self) -> bool:
        """Whether any code is named."""
        return bool(self.files or self.modules or self.python_files)


@attrs.frozen
class Loaded:
    """What a workspace said.

    Args:
        definitions: Definition by asset key.
        assets: How many assets are defined.
        problems: Code locations that cannot be loaded, a sentence each.
        repositories: What each of them declares.
    """

    definitions: Definitions
    assets: int
    problems: tuple[str, ...] = ()
    repositories: tuple[Repository, ...] = ()


def load(instance: DagsterInstance, workspace: Workspace) -> Loaded:
    """Load all code locations once. What cannot be loaded is said, and the rest is used.

    Raises:
        Exception: The workspace itself cannot be read: a file that is not there, or no workspace file.
    """
    with (
        warnings.catch_warnings(
            action="ignore"
        ),  # of locations that cannot be loaded: they are our problems below
        WorkspaceProcessContext(instance, _target(workspace), code_server_log_level="CRITICAL") as process,
    ):
        request = process.create_request_context()
        problems = tuple(
            f"Code location {name} cannot be loaded, what it defines is not known: {_last_line(entry.load_error)}"
            for name, entry in sorted(request.get_code_location_entries().items())
            if entry.load_error is not None
        )
        graph: Any = request.asset_graph
        definitions = definitions_in(graph)
        keys = sorted(graph.get_all_asset_keys())
        known = {key: definitions(key) for key in keys}
        repositories, unread = _repositories(request)
    return Loaded(known.get, len(keys), (*problems, *unread), repositories)


def _repositories(request: Any) -> tuple[tuple[Repository, ...], tuple[str, ...]]:
    """What is declared, and what of it cannot be read."""
    found: list[Repository] = []
    problems: list[str] = []
    for location in request.code_locations:
        try:
            found += [remote_repository(each, location.name) for each in location.get_repositories().values()]
        except Exception as error:
            problems.append(f"What code location {location.name} declares cannot be read: {error}")
    return tuple(found), tuple(problems)


def _target(workspace: Workspace) -> WorkspaceLoadTarget:
    folder = str(workspace.working_directory or Path.cwd())
    targets: list[WorkspaceLoadTarget] = []
    if workspace.files:
        targets.append(WorkspaceFileTarget(_absolute(workspace.files)))
    targets += [ModuleTarget(name, None, folder, None) for name in workspace.modules]
    targets += [PythonFileTarget(file, None, folder, None) for file in _absolute(workspace.python_files)]
    return CompositeTarget(targets)


def _absolute(paths: Sequence[Path]) -> list[str]:
    return [str(path.absolute()) for path in paths]


def _last_line(error: Any) -> str:
    """The cause at the bottom of a chain of errors, in one line."""
    while error.cause is not None:
        error = error.cause
    lines = str(error.message).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
