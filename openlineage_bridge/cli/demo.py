"""``openlineage-bridge demo``: the whole product on one machine, on the pipelines of ``examples/shop``.

Everything is real and runs in processes of its own: the bridge, two Prefect flows with Prefect's own temporary server, a
Dagster daemon and a job launched through it, a DuckDB file. They know of each other through ``OPENLINEAGE_URL`` alone.
"""

from __future__ import annotations

import os
import signal
import site
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

PATIENCE = 180.0
"""Seconds that one step may take."""

NEEDED = ("duckdb", "dagster", "prefect", "datahub", "starlette", "sqlglot")

JOB = "shop.nightly_marts"


@click.command("demo")
@click.option(
    "--folder",
    default="openlineage-bridge-demo",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the database, the store and the logs go. Run it again on the same folder to see what a second run sends.",
)
@click.option("--port", default=0, help="Port of the bridge.  [default: a free one]")
@click.option(
    "--stay", is_flag=True, help="Leave the bridge running at the end, to look at the page; Ctrl-C ends it."
)
def command(folder: Path, port: int, stay: bool) -> None:
    """Run the whole product on one machine and print the lineage across Prefect and Dagster.

    Starts the bridge; runs a Prefect flow that loads files into a DuckDB database, a Dagster job that builds tables from
    them with SQL, and a Prefect flow that reports the result and in which one task fails on purpose.

    \b
    Example:
      openlineage-bridge demo
    """
    _check_installation()
    demo = Demo(folder.absolute(), port or _free_port())
    before = demo.sent()
    with demo.bridge():
        demo.run_shop()
        demo.settle()
        _show(demo, demo.sent() - before, first=before == 0)
        if stay:
            click.echo(f"\nThe bridge is at {demo.url}; Ctrl-C ends it.")
            signal.pause()


def _check_installation() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        from openlineage_bridge.errors import ConfigError

        raise ConfigError(f"the demo needs {', '.join(missing)}: install openlineage-bridge[demo]")


class Demo:
    """One run of the demo in its folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.store = folder / "bridge.db"
        self.proposals = folder / "proposals.json"
        self.shop = _examples() / "shop"
        self._logs = folder / "logs"
        self._prepare()
        self._environment = self._for_pipelines()

    def _prepare(self) -> None:
        for each in (self._logs, self.folder / "dagster", self.folder / "prefect"):
            each.mkdir(parents=True, exist_ok=True)
        (self.folder / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        config = f"store: {self.store}\ndatahub:\n  sink: file\n  path: {self.proposals}\n"
        (self.folder / "openlineage-bridge.yml").write_text(config)

    def _for_pipelines(self) -> dict[str, str]:
        """An environment that leads to this bridge and to nothing that the user may have configured elsewhere."""
        foreign = ("OPENLINEAGE", "PREFECT_", "DAGSTER_")
        own = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        return own | {
            "HOME": str(self.folder),
            "PYTHONUSERBASE": site.getuserbase(),
            "OPENLINEAGE_URL": self.url,
            "OPENLINEAGE_BRIDGE_SPOOL_FOLDER": str(self.folder / "spool"),
            "SHOP_WAREHOUSE": str(self.folder / "warehouse.duckdb"),
            "SHOP_REPORT": str(self.folder / "revenue.csv"),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_PLUGINS_ENABLED": "1",
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # Prefect's own server starts with the first flow: 20 seconds are short on a busy machine.
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
            "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
            "DO_NOT_TRACK": "1",
            "DAGSTER_HOME": str(self.folder / "dagster"),
        }

    # --- what runs

    def bridge(self) -> AbstractContextManager[None]:
        """The bridge, until the block ends."""
        arguments = ["-m", "openlineage_bridge", "serve", "--port", str(self.port)]
        own = {key: value for key, value in os.environ.items() if not key.startswith("OPENLINEAGE_BRIDGE")}
        config = ["--config", str(self.folder / "openlineage-bridge.yml")]
        return self._background("the bridge", arguments + config, own, lambda: _answers(self.port))

    def run_shop(self) -> None:
        """The two flows and, between them, the job; each waits for the other's tables, not for its lineage."""
        workspace = ["-w", str(self.shop / "workspace.yaml")]
        finished = self._count(JOB)
        with self._background(
            "the Dagster daemon", ["-m", "dagster._daemon", "run", *workspace], self._environment
        ):
            self._run("Prefect flow: files → raw tables", [str(self.shop / "load_shop.py")])
            launch = ["-m", "dagster", "job", "launch", *workspace, "-l", "shop", "-j", "nightly_marts"]
            self._run("Dagster job: raw tables → marts (launch)", launch)
            with _step("Dagster job: raw tables → marts (run, seen by the sensor)"):
                _wait_for(lambda: self._count(JOB) > finished, self._logs / "the-dagster-daemon.log")
        self._run(
            "Prefect flow: marts → report (one task fails on purpose)", [str(self.shop / "report_revenue.py")]
        )

    def _run(self, what: str, arguments: list[str]) -> None:
        log = self._log_of(what)
        with _step(what):
            process = self._start(arguments, self._environment, log)
            try:
                _wait_for(lambda: process.poll() is not None, log)
            finally:
                _end(process)
            if process.returncode:
                raise _failed(f"it ended with code {process.returncode}", log)

    @contextmanager
    def _background(
        self,
        what: str,
        arguments: list[str],
        environment: Mapping[str, str],
        ready: Callable[[], bool] = lambda: True,
    ) -> Iterator[None]:
        log = self._log_of(what)
        process = self._start(arguments, environment, log)
        try:
            with _step(f"Starting {what}"):
                _wait_for(lambda: ready() or process.poll() is not None, log)
            if process.poll() is not None:
                raise _failed("it did not start", log)
            yield
        finally:
            _end(process)

    def _start(
        self, arguments: list[str], environment: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        """A Python process in a session of its own, so that ``_end`` reaches everything that it starts."""
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, *arguments],
                env=dict(environment),
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _log_of(self, what: str) -> Path:
        words = "".join(each if each.isalnum() else " " for each in what).lower().split()
        return self._logs / ("-".join(words) + ".log")

    # --- what came of it

    def settle(self) -> None:
        """Wait until everything that was received is processed and delivered."""
        with _step("Delivering"):
            _wait_for(self._is_settled, self._logs / "the-bridge.log")

    def _is_settled(self) -> bool:
        figures = self.figures()
        return not figures["inbox_events"] and not figures["outbox_aspects"]

    def figures(self) -> dict[str, Any]:
        """What ``status`` shows."""
        from openlineage_bridge.store.status import Queries

        return Queries(self.store).status()

    def _count(self, job: str) -> int:
        """How many runs of a job have ended."""
        from openlineage_bridge.store.status import Queries

        return sum(run.name == job and run.state != "RUNNING" for run in Queries(self.store).runs(1000))

    def sent(self) -> int:
        """How many proposals the file sink was given so far: it writes one a line."""
        if not self.proposals.exists():
            return 0
        with self.proposals.open("rb") as lines:
            return sum(line.startswith(b"{") for line in lines)


def _show(demo: Demo, sent: int, *, first: bool) -> None:
    from openlineage_bridge.cli.lineage import tree
    from openlineage_bridge.cli.status import print_runs
    from openlineage_bridge.store.status import Queries

    queries = Queries(demo.store)
    click.echo(click.style("\nThe lineage of the report, across both", bold=True))
    graph = queries.graph(f"file {demo.folder / 'revenue.csv'}", depth=20)
    for line in tree(graph) if graph else ["nothing was found: see the logs"]:
        click.echo(line)
    print_runs(queries.runs(9))
    figures = demo.figures()
    click.echo(click.style("\nWhat went out", bold=True))
    click.echo(f"  {sent} proposals to {demo.proposals.name}, the stand-in for a DataHub.")
    click.echo(
        f"  The store holds {figures['aspects']}; what is said about a run grows while it runs, and goes out again then."
    )
    if first:
        click.echo("  Run the demo again: only what is new about the new runs is sent.")
    else:
        click.echo(
            "  Unchanged aspects (tables, columns, jobs, lineage) were not sent again; the new runs were."
        )
    _say_what_next(demo)


def _say_what_next(demo: Demo) -> None:
    store = demo.store.relative_to(Path.cwd()) if demo.store.is_relative_to(Path.cwd()) else demo.store
    click.echo(click.style("\nWhat next", bold=True))
    for what, how in (
        ("look at the page", f"openlineage-bridge serve --store {store}"),
        ("ask for a table", f"openlineage-bridge lineage raw.orders --store {store}"),
        ("see the figures", f"openlineage-bridge status --store {store}"),
        ("export for DataHub", f"openlineage-bridge export --store {store} -o proposals.json"),
        (
            "point at a DataHub",
            f"set `sink: rest` and `server:` in {store.parent / 'openlineage-bridge.yml'}, then `serve --config` it",
        ),
        ("read the pipelines", str(demo.shop)),
        ("read the logs", str(demo.folder / "logs")),
    ):
        click.echo(f"  {what:<20} {how}")


# --- processes and patience -----------------------------------------------------------------------------------------


@contextmanager
def _step(what: str) -> Iterator[None]:
    """A line that says what is going on, and how long it took."""
    started = time.monotonic()
    click.echo(f"  … {what}", nl=not sys.stdout.isatty())
    sys.stdout.flush()
    try:
        yield
    except BaseException:
        click.echo("")
        raise
    taken = f"  {click.style('✓', fg='green')} {what} ({time.monotonic() - started:.1f} s)"
    click.echo(f"\r\x1b[K{taken}" if sys.stdout.isatty() else taken)


def _wait_for(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise _failed(f"it took longer than {PATIENCE:.0f} s", log)
        time.sleep(0.1)


def _failed(why: str, log: Path) -> Exception:
    from openlineage_bridge.errors import BridgeError

    last = "\n".join(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-15:])
    return BridgeError(f"the demo stopped: {why}. The end of {log}:\n{last}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything that it started."""
    for sig, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, sig)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _examples() -> Path:
    """``examples/``: beside the package in a checkout, inside it in an installation."""
    package = Path(__file__).parents[1]
    installed = package / "examples"
    return installed if installed.is_dir() else package.parent / "examples"
