"""What every test may ask for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# Tests are no packages (`--import-mode=importlib`): what they share is one, and is found here.
sys.path.append(str(Path(__file__).with_name("lib")))

# How long an example takes says more of the machine than of the code.
settings.register_profile("untimed", settings(), deadline=None)
settings.load_profile("untimed")

SHARED_DATA = Path(
    os.environ.get("OPENLINEAGE_BRIDGE_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data")
)


@pytest.fixture(autouse=True, scope="session")
def _nothing_spooled_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Events that a test's processes leave waiting lie among the test's files, not in the home of who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def shared_data() -> Path:
    """The folder of real events and URN cases that lies beside the checkout; tests that need it skip without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA}; set OPENLINEAGE_BRIDGE_SHARED_DATA")
    return SHARED_DATA


@pytest.fixture
def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def plain() -> ModuleType:
    """Translators that say what they are given."""
    return import_module("bridge_tests.plain")


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """Events of a small world, written and generated."""
    return import_module("bridge_tests.worlds")


@pytest.fixture(scope="session")
def oracle() -> ModuleType:
    """The judge of aspects: acryl-datahub's models and registry, and the rules of its server that these miss."""
    return import_module("bridge_tests.oracle")


@pytest.fixture(scope="session")
def datahub_ingest():
    """Runs the real ``datahub ingest`` with file source and file sink; what the sink wrote."""

    def ingest(source: Path, target: Path) -> list[object]:
        recipe = Path(__file__).parents[1] / "examples" / "recipes" / "check-export.yml"
        environment = os.environ | {
            "PROPOSALS": str(source),
            "CHECKED": str(target),
            "DATAHUB_TELEMETRY_ENABLED": "false",
        }
        command = [sys.executable, "-m", "datahub", "ingest", "-c", str(recipe)]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
        written: list[object] = json.loads(target.read_text())
        return written

    return ingest


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[int]:
    """The port of a PostgreSQL server of our own; its superuser is ``postgres``, without a password."""
    with import_module("bridge_tests.postgres").running() as port:
        yield port


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 of our own."""
    with import_module("bridge_tests.object_stores").s3() as url:
        yield url


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[str]:
    """The address of a Cloud Storage of our own."""
    with import_module("bridge_tests.object_stores").gcs() as url:
        yield url


@pytest.fixture(scope="session")
def warehouses() -> ModuleType:
    """Services that speak BigQuery's and Snowflake's protocols."""
    return import_module("bridge_tests.warehouses")
