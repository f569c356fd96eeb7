"""A disk of its own that is small, and can be filled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from openlineage_bridge.store.space import MIB

SIZE = 64 * MIB

LITTLE_ROOM = {
    "OPENLINEAGE_BRIDGE__SPACE__MIN_FREE_BYTES": f"{16 * MIB}",
    "OPENLINEAGE_BRIDGE__SPACE__BALLAST_BYTES": f"{8 * MIB}",
}
"""The environment of a bridge on such a disk."""


@contextmanager
def small_disk(folder: Path, size: int = SIZE) -> Iterator[Path]:
    """The folder, made anew, on a disk of so many bytes; the test is skipped where the user may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, leaving: int = 0) -> Path:
    """A file that leaves so many bytes of the disk free."""
    disk = os.statvfs(folder)
    size = disk.f_bavail * disk.f_frsize - leaving
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):  # somebody else took what was left
        while size > 0:
            size -= file.write(b"x" * min(size, MIB))
    return filler
