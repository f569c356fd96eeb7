"""Run the collectors' tests on older and newer orchestrators, each in an environment of its own: ``make test-versions``.

Each version gets the dependencies of its own days (uv's ``--exclude-newer``), because today's break it, and then ours on top. A
version passes when the named test files pass there; what it lacks (assets, plugins) those tests know. Environments are kept in
``.versions`` and used again, until what goes into them changes. What each version said stays beside them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".versions"

OURS = ("openlineage-python", "attrs", "duckdb", "sqlglot", "msgspec")
"""What our packages need beside the orchestrator, at the versions of constraints.txt."""

EITHERS = ("click",)
"""What both need, at a version that the orchestrator takes."""

TOOLS = ("pytest", "pytest-timeout", "pytest-randomly", "hypothesis")

PREFECT_TESTS = (
    "test_contract.py",
    "test_lifecycle.py",
    "test_scenario.py",
    "test_endings.py",
    "test_worker.py",
    "test_datasets.py",
)
"""``test_scenario.py`` has every way that a run can go: in one process, in a task worker, under a process worker and ``serve()``."""

DAGSTER_TESTS = (
    "test_fold.py",
    "test_fold_assets.py",
    "test_fold_capture.py",
    "test_instrumentation.py",
    "test_sensor.py",
    "test_tail.py",
    "test_backfill.py",
    "test_daemon.py",
    "project/test_golden.py",
)


@attrs.frozen
class Version:
    """A version to test.

    Args:
        package: What is tested.
        version: Its version.
        until: Newest release date of its dependencies: some days after its own.
        tests: Test files, below ``tests``.
        companions: Packages that are released with it under the same version.
        marked: Which tests of these files, as pytest's ``-m`` has it.
    """

    package: str
    version: str
    until: str
    tests: tuple[str, ...]
    companions: tuple[str, ...] = ()
    marked: str = ""

    @property
    def name(self) -> str:
        """As people say it."""
        return f"{self.package}-{self.version}"


def _prefect(version: str, until: str) -> Version:
    return Version("prefect", version, until, tuple(f"prefect/{each}" for each in PREFECT_TESTS))


def _dagster(version: str, until: str) -> Version:
    tests = tuple(f"dagster/{each}" for each in DAGSTER_TESTS)
    return Version(
        "dagster", version, until, tests, companions=("dagster-webserver",), marked="not reliability"
    )


VERSIONS = (
    _prefect("3.0.0", "2024-09-08"),
    _prefect("3.0.11", "2024-11-05"),
    _prefect("3.4.0", "2025-05-06"),
    _prefect("3.4.25", "2025-10-28"),
    _prefect("3.6.0", "2025-11-11"),
    _prefect("3.6.29", "2026-05-05"),
    _prefect("3.8.0", "2026-07-27"),
    _dagster("1.10.0", "2025-02-18"),
    _dagster("1.10.21", "2025-06-25"),
    _dagster("1.11.16", "2025-10-28"),
    _dagster("1.12.22", "2026-04-07"),
)
"""Of Prefect, oldest and newest patch of 3.0, 3.4, 3.6 and the oldest of 3.8; of Dagster, the oldest of 1.10 and the newest of
1.10, 1.11, 1.12. The newest of both is what ``make test`` has."""


def pinned(*packages: str) -> list[str]:
    """``package==version`` of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    versions = dict(line.split(" ;")[0].split("==") for line in lines if "==" in line)
    return [f"{package}=={versions[package]}" for package in packages]


def prepare(version: Version) -> Path:
    """The interpreter of the version's environment, made when it is not there."""
    folder = ENVIRONMENTS / version.name
    python = folder / "bin" / "python"
    done, contents = folder / ".prepared", recipe(version)
    if done.exists() and done.read_text() == contents:
        return python
    orchestrator = [f"{each}=={version.version}" for each in (version.package, *version.companions)]
    uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    install = ("pip", "install", "--quiet", "--python", str(python))
    uv(*install, "--exclude-newer", version.until, *orchestrator)
    uv(*install, *orchestrator, *EITHERS, *pinned(*OURS, *TOOLS))
    uv(*install, "--no-deps", "--editable", str(ROOT))
    done.write_text(contents)
    return python


def recipe(version: Version) -> str:
    """What goes into a version's environment, in short; it differs when that does."""
    # Our own entry points are copied when we are installed.
    ours = (ROOT / "pyproject.toml").read_text()
    parts = (version.version, version.until, *version.companions, *EITHERS, *pinned(*OURS, *TOOLS), ours)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def uv(*arguments: str) -> None:
    """Run uv; what it complains about is shown."""
    subprocess.run([sys.executable, "-m", "uv", *arguments], check=True)


@attrs.frozen
class Outcome:
    """What came of a version.

    Args:
        passed: Whether it passed.
        summary: How many tests passed, were skipped, failed.
        seconds: How long it took, its environment included.
    """

    passed: bool
    summary: str
    seconds: float


def outcome(version: Version) -> Outcome:
    """What comes of a version; what cannot be installed has not passed."""
    began = time.monotonic()
    try:
        code, summary = test(version, prepare(version))
    except subprocess.CalledProcessError as error:
        code, summary = error.returncode, "could not be installed"
    return Outcome(code == 0, summary, time.monotonic() - began)


def test(version: Version, python: Path) -> tuple[int, str]:
    """Run the tests on this version; pytest's exit code and its last line."""
    files = [str(ROOT / "tests" / each) for each in version.tests]
    command = [str(python), "-m", "pytest", "-q", "-m", version.marked, "-p", "no:cacheprovider", *files]
    lines = [""]
    with (
        (ENVIRONMENTS / f"{version.name}.log").open("w") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running,
    ):
        for line in running.stdout or ():
            for output in (log, sys.stdout):
                print(line, end="", file=output, flush=True)
            lines.append(line.strip() or lines[-1])
    return running.returncode, lines[-1]


def main() -> None:
    """The versions that are named, or all."""
    wanted = [each for each in VERSIONS if not sys.argv[1:] or each.name in sys.argv[1:]]
    if not wanted:
        sys.exit(f"no such version; there are {', '.join(each.name for each in VERSIONS)}")
    outcomes = {}
    for version in wanted:
        print(f"\n=== {version.name}", flush=True)
        outcomes[version.name] = outcome(version)
    print()
    for name, each in outcomes.items():
        print(f"{name:<20} {'passed' if each.passed else 'FAILED'} in {each.seconds:>4.0f} s: {each.summary}")
    sys.exit(not all(each.passed for each in outcomes.values()))


if __name__ == "__main__":
    main()
