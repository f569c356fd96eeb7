"""The reference leaves nothing out: what the code knows and the pages do not, or the other way round, fails here."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from openlineage_bridge.cli import COLLECTED, COMMANDS
from openlineage_bridge_datahub.options import SINK_KEYS

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
SOURCES = [
    file
    for folder in ("openlineage_bridge", "collectors", "translators")
    for file in (ROOT / folder).rglob("*.py")
]


@pytest.fixture(scope="module")
def generate():
    """The script that writes the pages."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "page",
    ["commands.md", "configuration.md", "openlineage-bridge.schema.json", "metrics.md", "custom-facets.md"],
)
def test_generated_page_is_current(generate, page):
    """The page is what ``python docs/generate.py`` writes from the code as it is."""
    assert generate.PAGES[page]() == (REFERENCE / page).read_text()


def test_every_page_is_known(generate):
    """To the test above."""
    assert {
        "commands.md",
        "configuration.md",
        "openlineage-bridge.schema.json",
        "metrics.md",
        "custom-facets.md",
    } == {*generate.PAGES}


def test_commands():
    """Each has its section."""
    sections = re.findall(
        r"^## `openlineage-bridge (\w+)`$", (REFERENCE / "commands.md").read_text(), re.MULTILINE
    )

    assert {*COMMANDS, *COLLECTED} == {*sections}


def test_keys(generate):
    """Every key has its row, those of the sinks included, and each row a meaning."""
    rows = dict(
        re.findall(r"^\| `([\w.]+)` \| (.*) \|$", (REFERENCE / "configuration.md").read_text(), re.MULTILINE)
    )
    known = {
        key
        for key, *_ in [*generate.keys(generate.config.Config), *generate.keys(generate.Options, "datahub.")]
    }

    assert set() == (known | SINK_KEYS - {"sink"}) - {*rows}
    assert all(row.rpartition("| ")[2].strip() for row in rows.values())


def test_schema_accepts_what_is_documented():
    """Every configuration on every page fits the JSON schema, which itself is one."""
    schema = json.loads((REFERENCE / "openlineage-bridge.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    texts = [page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]]
    shown = [
        yaml.safe_load(block)
        for text in texts
        for block in re.findall(r"^ *```yaml\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    ]
    configurations = [each for each in shown if {*each} & {"store", "server", "datahub"}]

    assert len(configurations) > 8
    assert [] == [
        error.message for each in configurations for error in Draft202012Validator(schema).iter_errors(each)
    ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("server: {prot: 5000}", "'prot' was unexpected"),
        ("datahub: {sink: nowhere}", "'nowhere' is not one of"),
        ("retention: {runs: [1]}", "is not of type"),
        ("stor: x", "'stor' was unexpected"),
    ],
)
def test_schema_refuses(text, wrong):
    """An unknown key, a wrong type, an unknown sink: an editor underlines them."""
    schema = json.loads((REFERENCE / "openlineage-bridge.schema.json").read_text())

    assert [True] == [
        wrong in error.message for error in Draft202012Validator(schema).iter_errors(yaml.safe_load(text))
    ]


def test_metrics(generate):
    """Every metric that the code makes has its row; names that are put together are told by their stem."""
    documented = {*re.findall(r"^\| `(olbridge_\w+)`", (REFERENCE / "metrics.md").read_text(), re.MULTILINE)}
    in_code = {
        name for file in SOURCES for name in re.findall(r"\bolbridge_[a-z_]*[a-z]\b", file.read_text())
    }

    assert set() == {name for name in in_code if not any(each.startswith(name) for each in documented)}
    assert len(documented) > 12


VARIABLE = re.compile(r"\b(?!OPENLINEAGE_BRIDGE\b)(?:OPENLINEAGE(?:_[A-Z]+)+|DATAHUB(?:_[A-Z]+)+)\b")


def test_environment():
    """Every variable of OpenLineage's, DataHub's and our own that the code names is on the page, and no other."""
    page = {*VARIABLE.findall((REFERENCE / "environment.md").read_text())}
    in_code = {
        name
        for file in SOURCES
        for text in re.findall(r"[\"']([^\"'\n]*)[\"']", file.read_text())
        for name in VARIABLE.findall(text)
    }

    assert in_code == page


def test_navigation():
    """Every page is in the navigation of the site."""
    listed = {*re.findall(r"[\w/.-]+\.md", (ROOT / "mkdocs.yml").read_text())}

    assert {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")} == listed


def test_site(tmp_path):
    """It is built without a warning."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", tmp_path]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # the theme's advertisement of its successor
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert (tmp_path / "reference" / "commands" / "index.html").is_file()
