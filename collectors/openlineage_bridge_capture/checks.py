"""The part of a doctor's visit that every collector shares: a look from a fresh process, the backend, what capture needs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import attrs
from openlineage.client.client import OpenLineageClient

from openlineage_bridge_capture import drivers, settings
from openlineage_bridge_capture.autoload.interpreter import HERE
from openlineage_bridge_capture.client import background_client, spool_of
from openlineage_bridge_capture.findings import Finding
from openlineage_bridge_capture.spool.folders import Destination, without_credentials

PATIENCE = 3.0
"""Seconds that the backend has to answer."""

IMPORT_PATIENCE = 120.0
"""Seconds that a fresh process may take to import an orchestrator from a slow disk, and to look at it."""

CONFIGURE = "export OPENLINEAGE_URL=http://localhost:5000"


@attrs.frozen
class Orchestrator:
    """What a doctor has to know of the orchestrator that it looks at.

    Args:
        title: How it is written.
        distributions: Any of which installs it; the first has the name of its module and of the doctor.
        oldest: The first version that its collector knows.
        too_new: The first one after those.
        requirement: For pip: these versions.
        python: Which interpreter is to be looked at, as the end of a path.
    """

    title: str
    distributions: tuple[str, ...]
    oldest: tuple[int, ...]
    too_new: tuple[int, ...]
    requirement: str
    python: str


def visit(
    orchestrator: Orchestrator,
    code: str,
    environment: Mapping[str, str],
    own: Callable[[dict[str, Any]], list[Finding]],
) -> list[Finding]:
    """Everything that is looked at, in the order in which lineage flows.

    Args:
        orchestrator: Which one.
        code: What a fresh process runs; see ``probe``.
        environment: Of that process.
        own: What only the orchestrator's doctor makes of the facts that the process found.
    """
    found = supported(orchestrator)
    if found.state == "problem":
        return [found]
    facts = probe(code, environment)
    if isinstance(facts, Finding):
        says = f"a new process cannot import {orchestrator.title}: {facts.says}"
        do = f'{sys.executable} -c "import {orchestrator.distributions[0]}"'
        return [found, attrs.evolve(facts, says=says, do=do)]
    return [found, *own(facts), *capture(), *backend()]


def supported(orchestrator: Orchestrator) -> Finding:
    """Whether it is installed, in a version that its collector knows."""
    module = orchestrator.distributions[0]
    name, found = installed(*orchestrator.distributions)
    if not found:
        return Finding(
            module,
            "problem",
            f"{orchestrator.title} is not installed for {sys.executable}",
            f"openlineage-bridge doctor {module} --python /path/to/{orchestrator.python}",
        )
    if not orchestrator.oldest <= numbers(found) < orchestrator.too_new:
        do = f"pip install '{orchestrator.requirement}'"
        return Finding(module, "problem", f"{name} {found} is not supported", do)
    return Finding(module, "ok", f"{name} {found}, supported, for {sys.executable}")


def numbers(text: str) -> tuple[int, ...]:
    """The release numbers of a version, pre-release and local parts left out: ``3.4.24rc1`` is (3, 4, 24)."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()


def installed(*distributions: str) -> tuple[str, str]:
    """The first of these distributions that is installed, and its version; both empty where none is."""
    for name in distributions:
        with contextlib.suppress(PackageNotFoundError):
            return name, version(name)
    return "", ""


def probe(code: str, environment: Mapping[str, str]) -> dict[str, Any] | Finding:
    """What a fresh process of this interpreter finds: the JSON object on the last line that it prints.

    ``OPENLINEAGE_DISABLED`` does not reach it: whether that is set is a finding of the backend's.

    Returns:
        The object, or the finding that the process came to nothing.
    """
    inherited = {name: value for name, value in environment.items() if name != "OPENLINEAGE_DISABLED"}
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter, our own code
            [sys.executable, "-c", f"{HERE}\n{code}"],
            env=inherited,
            capture_output=True,
            text=True,
            timeout=IMPORT_PATIENCE,
            check=True,
        )
        facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
        return _no_import(error)
    return facts


def _no_import(error: Exception) -> Finding:
    said = str(getattr(error, "stderr", None) or error).strip().splitlines()
    return Finding("import", "problem", said[-1] if said else type(error).__name__)


def backend() -> list[Finding]:
    """Is a backend configured, does the client accept the settings, does the backend answer, what waits in the spool?"""
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return [Finding("backend", "problem", "OPENLINEAGE_DISABLED=true", "unset OPENLINEAGE_DISABLED")]
    if not settings.configured():
        return [Finding("backend", "problem", "no OpenLineage backend is configured", CONFIGURE)]
    where = source()
    try:
        client = background_client()
    except Exception as error:
        return [
            Finding(
                "backend", "problem", f"the client refuses what {where} says: {error}", f"correct {where}"
            )
        ]
    return [_destination(client, where), *_reached(client, where), *_spool(client)]


def source() -> str:
    """The variable or file that names the backend, in the client's order (openlineage-python, ``OpenLineageClient``)."""
    if os.environ.get(settings.TYPE_KEY):
        return settings.TYPE_KEY
    if os.environ.get(settings.TRANSPORT_KEY):
        return settings.TRANSPORT_KEY
    named = os.environ.get("OPENLINEAGE_CONFIG")
    places = (named, "openlineage.yml", "~/.openlineage/openlineage.yml")
    found = [path for each in places if each and (path := Path(each).expanduser()).is_file()]
    return str(found[0]) if settings.typed_transport() and found else settings.URL_KEY


def _destination(client: OpenLineageClient, where: str) -> Finding:
    url = _url(client)
    says = without_credentials(url) if url else f"the transport {_kind(client)!r}"
    return Finding("backend", "ok", f"{says}, as {where} says")


def _kind(client: OpenLineageClient) -> str:
    return str(getattr(client.transport, "kind", None) or type(client.transport).__name__)


def _url(client: OpenLineageClient) -> str | None:
    """Where an HTTP transport sends to, behind the spool or not."""
    transport: Any = client.transport
    if (spool := spool_of(client)) is not None:
        transport = spool
    for holder in (transport, getattr(transport, "direct", None), getattr(transport, "config", None)):
        url = getattr(holder, "url", None) or getattr(getattr(holder, "http", None), "url", None)
        if isinstance(url, str):
            return url
    return None


def _reached(client: OpenLineageClient, where: str) -> list[Finding]:
    url = _url(client)
    if url is None:
        return [Finding("reachable", "note", f"cannot be told of the transport {_kind(client)!r}")]
    problem = unreachable(url)
    if problem is None:
        return [Finding("reachable", "ok", "it answers")]
    shown = without_credentials(url)
    return [
        Finding(
            "reachable",
            "problem",
            f"{shown} does not answer: {problem}",
            f"start the backend (`openlineage-bridge serve` starts ours), or correct {where}",
        )
    ]


def unreachable(url: str) -> str | None:
    """Why a backend's base address does not answer within ``PATIENCE`` seconds; None when it does, with any HTTP status."""
    try:
        request = urllib.request.Request(without_credentials(url))  # noqa: S310  # the user's own setting
        with urllib.request.urlopen(request, timeout=PATIENCE):  # noqa: S310  # the same
            return None
    except urllib.error.HTTPError:
        return None
    except urllib.error.URLError as error:
        return _words(error.reason)
    except (OSError, ValueError) as error:
        return _words(error)


def _words(reason: Any) -> str:
    if isinstance(reason, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    if isinstance(reason, TimeoutError):
        return f"no answer within {PATIENCE:.0f} s"
    if isinstance(reason, ssl.SSLError):
        return f"its certificate was refused ({reason.reason})"
    return str(reason)


def _spool(client: OpenLineageClient) -> list[Finding]:
    transport: Any = spool_of(client)
    if transport is None:
        return [
            Finding(
                "spool", "note", "not used: what the backend misses while it is away depends on the transport"
            )
        ]
    spool = getattr(transport, "spool", transport)
    destination: Destination = spool.destination
    if not _writable(destination.folder):
        return [
            Finding(
                "spool",
                "note",
                f"{destination.folder} cannot be written to: events are lost while the backend is away",
                f"export {settings.SPOOL_FOLDER_KEY}=/a/writable/folder",
            )
        ]
    return [_backlog(destination)]


def _backlog(destination: Destination) -> Finding:
    waiting = sum(each.events for each in destination.waiting())
    refused = destination.rejected()
    says = f"{waiting} events wait in {destination.folder}"
    if not refused:
        return Finding("spool", "ok", says)
    return Finding(
        "spool",
        "note",
        f"{says}; {refused} were refused by the backend",
        f"look at the reasons in {destination.folder / 'rejected.jsonl'}",
    )


def _writable(folder: Path) -> bool:
    """Whether the folder, or the nearest one above it that exists, can be written to."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    return os.access(existing, os.W_OK | os.X_OK)


def capture() -> list[Finding]:
    """Can SQL be read, and which database drivers are there to be watched?"""
    return [_sql(), _drivers()]


def _sql() -> Finding:
    if not _there("sqlglot"):
        says = "sqlglot is not installed: statements are reported, the tables in them are not"
        return Finding("sql", "note", says, "pip install 'openlineage-bridge[sql]'")
    return Finding("sql", "ok", "tables and columns are read from SQL")


def _drivers() -> Finding:
    found = sorted({name.rpartition(".")[0] or name for name in drivers.DRIVERS if _there(name)})
    # A library whose parts are watched one by one is one library.
    whole = [name for name in found if not any(name.startswith(f"{other}.") for other in found)]
    return Finding("drivers", "ok", f"watched when they are imported: {', '.join(whole)}")


def _there(module: str) -> bool:
    """Whether a module's file or folder is on the path; unlike ``find_spec``, this imports no package on the way to it."""
    *parents, name = module.split(".")
    folders = [Path(entry, *parents) for entry in sys.path]
    return any((folder / name).is_dir() or any(folder.glob(f"{name}.*")) for folder in folders)
