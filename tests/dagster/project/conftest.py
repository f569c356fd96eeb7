"""A real ``dagster dev`` that runs the golden project, and backends that keep what is said of it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
SETTINGS = """
telemetry: {enabled: false}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    max_concurrent_runs: 4
    dequeue_interval_seconds: 1
    tag_concurrency_limits: [{key: hold, limit: 0}]
"""
POSTGRES = """
storage:
  postgres: {postgres_url: "postgresql+psycopg2://postgres@127.0.0.1:%s/%s"}
"""


def _module(name: str) -> ModuleType:
    """A module beside this file; loaded by path because tests are not a package."""
    spec = importlib.util.spec_from_file_location(f"bridge_golden_{name}", HERE / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def backends() -> ModuleType:
    return import_module("bridge_tests.backend")


@pytest.fixture(scope="session")
def project():
    """Loads modules of this folder by name."""
    return _module


@pytest.fixture(scope="session")
def ui() -> ModuleType:
    return _module("ui")


@pytest.fixture(scope="session")
def told() -> ModuleType:
    return _module("told")


@pytest.fixture(scope="session")
def golden(told):
    """What must be told of the project, written by hand."""
    major, minor = version("dagster").split(".")[:2]
    return told.golden(HERE / "golden.txt", (int(major), int(minor)))


class Home:
    """A DAGSTER_HOME with the golden project, and the processes that work on it.

    Args:
        folder: Where everything lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "home"
        self.workspace = folder / "workspace.yaml"
        self.workspace.write_text(
            f"load_from:\n  - python_file: {{relative_path: {HERE / 'definitions.py'}, location_name: golden}}\n"
        )

    def configure(self, settings: str) -> None:
        (self.path / "dagster.yaml").write_text(settings)

    def environment(self, url: str) -> dict[str, str]:
        """The environment of a process that tells the backend at ``url``."""
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(("OPENLINEAGE", "DAGSTER"))
        }
        return inherited | {
            "DAGSTER_HOME": str(self.path),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            # Dagster gives a run up that its code server does not start within a minute: a busy machine takes longer.
            "DAGSTER_GRPC_TIMEOUT_SECONDS": "300",
            "SHOP_FILE": str(self.folder / "shop.duckdb"),
            "OPENLINEAGE_BRIDGE_DAGSTER_NAMESPACES": '{"duckdb": "duckdb://shop"}',
            "OPENLINEAGE_URL": url,
            # What the code declares is told beside the runs, and tested with the static lineage.
            "OPENLINEAGE_BRIDGE_DAGSTER_STATIC_LINEAGE": "off",
            "PYTHONWARNINGS": "ignore",
        }

    @contextmanager
    def running(self, name: str, *arguments: object, url: str) -> Iterator[subprocess.Popen]:
        """A command of this environment in a session of its own, which ends with all that it started."""
        program = Path(sys.executable).with_name(name)
        with (self.folder / f"{name}-{time.monotonic_ns()}.log").open("wb") as log:
            process = subprocess.Popen(
                [program, *map(str, arguments)],
                env=self.environment(url),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def observing(self, how: str, *, url: str) -> AbstractContextManager[subprocess.Popen]:
        """``openlineage-bridge dagster tail`` or ``backfill``, over all of history."""
        code = ("-w", self.workspace, "--since", "2026-01-01")
        return self.running("openlineage-bridge", "dagster", how, *code, url=url)

    def fill(self, url: str) -> None:
        """A back-fill, to its end."""
        with self.observing("backfill", url=url) as process:
            assert 0 == process.wait(600), self.logs()

    def logs(self) -> str:
        """The end of what each process wrote."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )


@pytest.fixture
def home(tmp_path, empty_home) -> Home:
    """A home on SQLite, whose databases exist: several processes would create them at the same moment."""
    home = Home(tmp_path)
    shutil.copytree(empty_home, home.path)
    home.configure(SETTINGS)
    return home


@pytest.fixture
def postgres_home(request, tmp_path) -> Home:
    """A home on PostgreSQL, with a database of its own and its tables in it."""
    pytest.importorskip("dagster_postgres")
    postgres_server = request.getfixturevalue("postgres_server")
    from dagster import DagsterInstance

    database = f"home_{uuid.uuid4().hex}"
    _create(database, postgres_server)

    home = Home(tmp_path)
    home.path.mkdir()
    home.configure(SETTINGS + POSTGRES % (postgres_server, database))
    with DagsterInstance.from_config(str(home.path)) as instance:
        instance.get_runs_count()
    return home


def _create(database: str, port: int) -> None:
    import psycopg2

    with closing(psycopg2.connect(host="127.0.0.1", port=port, user="postgres")) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {database}")
