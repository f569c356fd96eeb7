"""A real PostgreSQL server of our own, on loopback only, gone when the block is left."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

USER = "postgres"


@contextmanager
def running() -> Iterator[int]:
    """The server's port; the test is skipped where there is no PostgreSQL to start."""
    binaries = _binaries()
    if binaries is None or not (binaries / "initdb").exists():
        pytest.skip("no PostgreSQL server here: install one (Debian: apt-get install postgresql)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="bridge-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    data = folder / "data"
    settings = f"-p {port} -h 127.0.0.1 -k {folder} -F -c shared_buffers=16MB -c max_connections=30"
    try:
        _as_user(binaries / "initdb", "-D", data, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8")
        _as_user(binaries / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-o", settings, "start")
        yield port
    finally:
        with suppress(subprocess.CalledProcessError):
            _as_user(binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path | None:
    """Where the server's programs are: on the path, or in Debian's folder."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def _as_user(*command: object) -> None:
    """Run as a user that PostgreSQL accepts: it refuses to be started by root."""
    prefix = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    subprocess.run(
        [*prefix, *map(str, command)],
        check=True,
        timeout=60,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
