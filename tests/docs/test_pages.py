"""What the pages tell a reader to type works, in a folder in which nothing was done yet, and every block is what it says."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
import yaml

from openlineage_bridge.config import Config, load

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    each.relative_to(ROOT).as_posix() for each in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
)
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)?(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
SECTIONS = {field.name for field in attrs.fields(Config)} | {"datahub"}

SLOW = ("docs/tutorial.md", "docs/how-to/prefect.md", "docs/how-to/dagster.md")
"""Those that start an orchestrator."""


@attrs.frozen
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, without the indent of the list that they are in."""
    content = (ROOT / page).read_text()
    found = []
    for match in FENCE.finditer(content):
        text = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        line = content.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match["language"] or "", match["title"] or "", text))
    return found


ALL = [block for page in PAGES for block in blocks(page)]


def of(*languages: str) -> list[Block]:
    return [block for block in ALL if block.language in languages]


# --- what is typed --------------------------------------------------------------------------------------------------


def typed(block: Block) -> list[str]:
    return [line.removeprefix("$ ") for line in block.text.splitlines() if line.startswith("$ ")]


def answered(block: Block) -> list[str]:
    return [line for line in block.text.splitlines() if not line.startswith("$ ")]


def script(page: str, folder: Path) -> list[str]:
    """The page as a reader follows it: files are written where they are shown, commands typed in order."""
    lines = []
    for number, block in enumerate(blocks(page)):
        named = block.title or (found[1] if (found := re.match(r"# ([\w-]+\.yml)\n", block.text)) else "")
        if named:
            (folder / f"{number}.part").write_text(block.text)
            lines.append(f"cp {number}.part {named}")
        if block.language == "console":
            lines += typed(block)
    return lines


def walk(page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Follow a page to its end; what it started in the background ends with it."""
    (folder / "examples").symlink_to(ROOT / "examples")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    text = "\n".join(["set -eum", *script(page, folder)]).replace("5000", port)
    text = text.replace("openlineage-bridge serve ", f"openlineage-bridge serve --port {port} ")
    own = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OPENLINEAGE", "PREFECT_", "DAGSTER_", "DATAHUB_"))
    }
    environment = own | {
        "PATH": f"{Path(sys.executable).parent}:{own['PATH']}",
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    return subprocess.run(
        ["bash", "-c", f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{text}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.system] if page in SLOW else [])
        for page in PAGES
        if page != "README.md" and any(block.page == page for block in of("console"))
    ],
)
def test_walk(page, tmp_path):
    """Every command of the page ends well, in order, and says what the page says (``…`` stands for anything)."""
    done = walk(page, tmp_path)
    said = " ".join((done.stdout + done.stderr).replace(f"{tmp_path}/", "").split())

    assert (0, said) == (done.returncode, said)
    for block in of("console"):
        for line in answered(block) if block.page == page else ():
            parts = (re.escape(part) for part in " ".join(line.split()).split("…"))
            assert re.search(".*?".join(parts), said)


# --- what is shown --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_python(block, tmp_path):
    """Is Python; what begins with its imports is a whole program, and runs; one with a title runs where its page is walked."""
    compile(block.text, str(block), "exec")
    if block.title or not block.text.startswith(("import ", "from ")):
        return
    (tmp_path / "block.py").write_text(block.text)
    done = subprocess.run(
        [sys.executable, "block.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert (0, done.stderr) == (done.returncode, done.stderr)


@pytest.mark.parametrize("block", of("sh", "console"), ids=str)
def test_shell(block):
    """Is what a shell understands."""
    text = block.text if block.language == "sh" else "\n".join(typed(block))
    subprocess.run(["bash", "-n"], input=text, text=True, check=True, timeout=10)


CLIENT = [block for block in of("yaml") if "transport:" in block.text.splitlines()]


@pytest.mark.parametrize("block", CLIENT, ids=str)
def test_configuration_of_the_client(block, tmp_path, monkeypatch):
    """OpenLineage's own client makes the transport that an ``openlineage.yml`` asks for."""
    from openlineage.client import OpenLineageClient

    monkeypatch.setenv("OPENLINEAGE_BRIDGE_SPOOL_FOLDER", str(tmp_path))
    asked = yaml.safe_load(block.text)
    client = OpenLineageClient(config=asked)

    assert asked["transport"]["type"].endswith(type(client.transport).__name__)
    assert asked["transport"]["url"] == client.transport.config.http.url


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml(block, tmp_path):
    """Is YAML; a configuration is one that is accepted."""
    content = yaml.safe_load(block.text)
    if not {*content} <= SECTIONS:
        return
    file = tmp_path / "openlineage-bridge.yml"
    file.write_text(block.text)
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", block.text), "http://localhost:8080")

    assert {*content} - {"datahub"} <= {*attrs.asdict(load(file, environ=environ), recurse=False)}


COMMAND = re.compile(
    r"(?:`|^[ $]*)openlineage-bridge ((?:prefect|dagster|doctor|quarantine|spool|autoload) )?([a-z]+)((?: --?[a-z-]+)*)",
    re.MULTILINE,
)


def test_commands_and_options_exist():
    """Every command that is named anywhere, in a block or in a sentence, exists, and so do the options behind its name."""
    from openlineage_bridge.cli import group

    unknown = []
    for page in PAGES:
        for above, name, options in COMMAND.findall((ROOT / page).read_text()):
            command = group.get_command(None, above.strip() or name)
            for step in [name] if above else []:
                command = command.get_command(None, step) if command else None
            known = {option for each in command.params for option in each.opts} if command else set()
            if command is None or {*options.split()} - known - {"--help", "--version"}:
                unknown.append((page, above, name, options))

    assert [] == unknown


LINKS = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]*)(?:#([\w-]+))?\)")


@pytest.mark.parametrize("page", PAGES)
def test_links(page):
    """Links lead to a file, and to a heading in it."""
    for target, heading in LINKS.findall((ROOT / page).read_text()):
        if target.startswith("https://"):
            continue
        file = (ROOT / page).parent / target if target else ROOT / page
        assert (target, True) == (target, file.exists())
        headings = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.MULTILINE) if heading else []
        slugs = {re.sub(r"[^\w -]", "", each.lower()).strip().replace(" ", "-") for each in headings}
        assert not heading or heading in slugs
