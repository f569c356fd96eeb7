"""Run the collectors' tests on older and newer orchestrators, each in an environment of its own: ``make test-versions``.

Each version gets the dependencies of its own days (uv's ``--exclude-newer``), because today's break it, and then ours on top. A
version passes when the named test files pass there; what it lacks (assets, plugins) those tests know. Environments are kept in
``.versions`` and used again.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".versions"

OURS = ("openlineage-python", "attrs", "click", "duckdb", "sqlglot", "msgspec")
"""What our packages need beside the orchestrator, at the versions of constraints.txt."""

TOOLS = ("pytest", "pytest-timeout", "pytest-randomly", "hypothesis")

PREFECT_TESTS = ("test_contract.py", "test_lifecycle.py", "test_endings.py", "test_datasets.py")


@attrs.frozen
class Version:
    """A version to test.

    Args:
        package: What is tested.
        version: Its version.
        until: Newest release date of its dependencies: some days after its own.
        tests: Test files, below ``tests``.
    """

    package: str
    version: str
    until: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """As people say it."""
        return f"{self.package}-{self.version}"


def _prefect(version: str, until: str) -> Version:
    return Version("prefect", version, until, tuple(f"prefect/{each}" for each in PREFECT_TESTS))


VERSIONS = (
    _prefect("3.0.0", "2024-09-08"),
    _prefect("3.0.11", "2024-11-05"),
    _prefect("3.4.0", "2025-05-06"),
    _prefect("3.4.25", "2025-10-28"),
    _prefect("3.6.0", "2025-11-11"),
    _prefect("3.6.29", "2026-05-05"),
    _prefect("3.8.0", "2026-07-27"),
)
"""Oldest and newest patch of 3.0, 3.4, 3.6 and the oldest of 3.8; its newest is what ``make test`` has."""


def pinned(*packages: str) -> list[str]:
    """``package==version`` of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    versions = dict(line.split(" ;")[0].split("==") for line in lines if "==" in line)
    return [f"{package}=={versions[package]}" for package in packages]


def prepare(version: Version) -> Path:
    """The interpreter of the version's environment, made when it is not there."""
    folder = ENVIRONMENTS / version.name
    python = folder / "bin" / "python"
    done = folder / ".prepared"
    if done.exists():
        return python
    orchestrator = f"{version.package}=={version.version}"
    uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    install = ("pip", "install", "--quiet", "--python", str(python))
    uv(*install, "--exclude-newer", version.until, orchestrator)
    uv(*install, orchestrator, *pinned(*OURS, *TOOLS))
    uv(*install, "--no-deps", "--editable", str(ROOT))
    done.touch()
    return python


def uv(*arguments: str) -> None:
    """Run uv; what it complains about is shown."""
    subprocess.run([sys.executable, "-m", "uv", *arguments], check=True)


def test(version: Version) -> bool:
    """Whether the tests pass on this version."""
    python = prepare(version)
    files = [str(ROOT / "tests" / each) for each in version.tests]
    command = [str(python), "-m", "pytest", "-q", "-m", "not reliability", "-p", "no:cacheprovider", *files]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main() -> None:
    """The versions that are named, or all."""
    wanted = [each for each in VERSIONS if not sys.argv[1:] or each.name in sys.argv[1:]]
    outcomes = {}
    for version in wanted:
        print(f"\n=== {version.name}", flush=True)
        began = time.monotonic()
        outcomes[version.name] = (test(version), time.monotonic() - began)
    print()
    for name, (passed, seconds) in outcomes.items():
        print(f"{name:<20} {'passed' if passed else 'FAILED'} in {seconds:.0f} s")
    sys.exit(not all(passed for passed, _ in outcomes.values()))


if __name__ == "__main__":
    main()
