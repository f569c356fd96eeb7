"""The wheel that users get: its packages, its extras, its entry points, its data."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "openlineage_bridge",
    "openlineage_bridge_capture",
    "openlineage_bridge_dagster",
    "openlineage_bridge_datahub",
    "openlineage_bridge_prefect",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def test_top_level_names(names):
    """Five import packages and nothing else: the folders above them are stripped."""
    top = {name.partition("/")[0] for name in names if ".dist-info/" not in name}

    assert top == PACKAGES


@pytest.mark.parametrize(
    "path",
    [
        *(f"{package}/py.typed" for package in sorted(PACKAGES)),
        "openlineage_bridge/examples/shop/build_marts.py",
        "openlineage_bridge/examples/shop/data/orders.csv",
        "openlineage_bridge/specification/schemas/OpenLineage.json",
        "openlineage_bridge/specification/schemas/SchemaDatasetFacet.json",
        "openlineage_bridge/web/static/graph.js",
    ],
)
def test_data_files(names, path):
    """What is no module but needed at run time is in the wheel."""
    assert path in names


def test_extras(metadata):
    """Each place where code runs has its extra, and the base stays small."""
    extras = set(metadata.get_all("Provides-Extra"))
    base = {line.partition(">")[0] for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}

    collectors, bridge = {"dagster", "kafka", "prefect", "sql"}, {"datahub", "files", "server"}
    expected = {*collectors, *bridge, "all", "bench", "demo", "dev", "docs"}
    assert expected == extras
    assert {"attrs", "click", "openlineage-python", "python-dateutil"} == base


def test_installed(wheel, tmp_path):
    """Installed without a checkout in sight, our packages are found and our folders are not."""
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        site,
        wheel,
    ]
    subprocess.run(pip, check=True, capture_output=True)
    code = (
        "import sys, importlib.util as u; sys.path = [p for p in sys.path if 'site-packages' not in p or p == sys.argv[1]]; "
        "sys.path.insert(0, sys.argv[1]); sys.path_importer_cache.clear(); sys.meta_path = sys.meta_path[-1:] + sys.meta_path[:-1]; "
        "print(sorted(n for n in sys.argv[2:] if u.find_spec(n)))"
    )
    asked = [*PACKAGES, "collectors", "translators", "tests", "examples"]
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, site, *asked],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )

    assert str(sorted(PACKAGES)) == result.stdout.strip()
