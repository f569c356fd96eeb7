"""Where the code of a flow or task stands: in which file of which repository, at which commit.

Read on the emitter's thread, once a file: git's own files are read, no program is started, and nothing whose size is
not bounded. Outside a repository it is the file alone, under the name that the deployment's entrypoint has for it.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import Any

import attrs
from openlineage.client import git
from openlineage.client.facet_v2 import JobFacet, source_code_job, source_code_location_job

from openlineage_bridge_capture.spool.encoding import fixed
from openlineage_bridge_prefect import deployments, parameters
from openlineage_bridge_prefect.identity import PRODUCER

MAX_TAGS = 1_000
"""Loose tags of a repository; with more of them (each is a file) no tag is looked for."""

MAX_PACKED_REFS = 4_000_000
"""Bytes of a repository's packed references; with more of them no tag is looked for."""

MAX_SOURCE = 65_536
"""Characters of source code that are sent."""

SSH_REMOTE = re.compile(
    r"(?:ssh://(?:[^@/\s]+@)?(?P<host>[^:/\s]+)(?::\d+)?/|(?:[^@/\s]+@)?(?P<short>[^:/\s]+):)(?P<path>[^/\s]\S*)"
)
"""``git@host:org/repository.git`` and ``ssh://git@host:22/org/repository``."""

HTTP_REMOTE = re.compile(r"(?P<scheme>https?)://(?:[^@/\s]*@)?(?P<host>[^/\s]+)/(?P<path>[^\s?#]+)[^\s]*")

PAGES = {"gitlab": "-/blob/{version}/{path}", "bitbucket": "src/{version}/{path}"}
"""Word in a host's name → where below a repository the page of a file is; GitHub's way for all others."""

ELSEWHERE = "blob/{version}/{path}"


@attrs.frozen
class Repository:
    """A git working tree, as it was when it was first looked at.

    Args:
        root: Its folder.
        url: URL of ``origin``, without credentials.
        version: SHA of the commit.
        branch: Branch; None when a commit was checked out.
        tag: A tag of the commit.
    """

    root: Path
    url: str | None = None
    version: str | None = None
    branch: str | None = None
    tag: str | None = None


def location(definition: Any, deployment: Mapping[str, Any]) -> JobFacet | None:
    """Where the function of a flow or task stands; None for what was typed in (a notebook, a shell).

    Args:
        definition: Prefect's ``Flow`` or ``Task``; None when it is in another process.
        deployment: Record of the run's deployment, empty where there is none.
    """
    code = _code(definition)
    if code is None:
        return _cloned(deployment)
    if not deployment:
        return _undeployed(code.co_filename, code.co_firstlineno)
    return _located(code.co_filename, code.co_firstlineno, deployment)


@functools.lru_cache(maxsize=10_000)
def _undeployed(filename: str, line: int) -> JobFacet | None:
    """The same for every run of the function: all tasks, and flows that no deployment runs."""
    found = _located(filename, line, {})
    return fixed(found) if found is not None else None


def _located(filename: str, line: int, deployment: Mapping[str, Any]) -> JobFacet | None:
    file, repository = _place(filename)
    if file is None:
        return _cloned(deployment)
    if repository is None:
        return _cloned(deployment) or _plain(file, line, deployment)
    path = file.relative_to(repository.root).as_posix()
    return source_code_location_job.SourceCodeLocationJobFacet(
        type="git",
        url=page(repository.url, repository.version, path, line) or file.as_uri(),
        repoUrl=repository.url,
        path=path,
        version=repository.version,
        branch=repository.branch,
        tag=repository.tag,
        pullRequestNumber=git.get_ci_pr_number(),
        producer=PRODUCER,
    )


def _plain(file: Path, line: int, deployment: Mapping[str, Any]) -> JobFacet:
    copied = _below_copy(file)
    path = _named(file, deployment) or copied or file.as_posix()
    url = file.as_uri() if copied is None else _lasting(path, deployment)
    return source_code_location_job.SourceCodeLocationJobFacet(
        type="file", url=f"{url}#L{line}", path=path, producer=PRODUCER
    )


def _named(file: Path, deployment: Mapping[str, Any]) -> str | None:
    """The file as the entrypoint names it, where that is the same file."""
    named = (deployments.entrypoint_file(deployment) or "").removeprefix("./")
    return named if named and file.as_posix().endswith(f"/{named}") else None


def _below_copy(file: Path) -> str | None:
    """The path in the temporary folder that Prefect made for a run's code; None for a file that stays where it is.

    The folder's name is another for each run (prefect, ``workers.process``, ``cli.flow_run``): telling it would make
    every run's code look new.
    """
    temporary = Path(tempfile.gettempdir()).resolve()
    if not file.is_relative_to(temporary):
        return None
    folder, *rest = file.relative_to(temporary).parts
    return "/".join(rest) if "prefect" in folder and rest else None


def _lasting(path: str, deployment: Mapping[str, Any]) -> str:
    """Where a copied file came from: below the deployment's path, where that says a place."""
    base = parameters.without_passwords(deployment.get("path") or "")
    if "://" in base:
        return f"{base.rstrip('/')}/{path}"
    return Path(base, path).as_uri() if Path(base).is_absolute() else path


def _cloned(deployment: Mapping[str, Any]) -> JobFacet | None:
    """What the deployment's pull step tells of the code, where the code itself does not tell."""
    step, path = deployments.cloned_from(deployment), deployments.entrypoint_file(deployment)
    if not step or not path:
        return None
    url, version = without_credentials(str(step["repository"])), step.get("commit_sha")
    return source_code_location_job.SourceCodeLocationJobFacet(
        type="git",
        url=page(url, version or step.get("branch") or "HEAD", path) or url,
        repoUrl=url,
        path=path,
        version=version,
        branch=step.get("branch"),
        producer=PRODUCER,
    )


def text(definition: Any) -> JobFacet | None:
    """The source code of a flow's or task's function; None where it cannot be had."""
    # Prefect keeps the text of a task that was defined where it could not be read again.
    source = getattr(definition, "source_code", None)
    if not source:
        try:
            source = inspect.getsource(inspect.unwrap(definition.fn))
        except (OSError, TypeError, AttributeError, ValueError):
            return None
    return source_code_job.SourceCodeJobFacet(
        language="PYTHON", sourceCode=parameters.without_passwords(source)[:MAX_SOURCE], producer=PRODUCER
    )


def _code(definition: Any) -> CodeType | None:
    try:
        code = getattr(inspect.unwrap(definition.fn), "__code__", None)
    except (AttributeError, ValueError):
        return None
    return code if isinstance(code, CodeType) else None


@functools.lru_cache(maxsize=10_000)
def _place(filename: str) -> tuple[Path | None, Repository | None]:
    """A code object's file, if there is one, and the repository around it."""
    try:
        file = Path(filename).resolve()
        return (file, _repository_around(file)) if file.is_file() and not _notebook(file) else (None, None)
    except (OSError, RuntimeError, ValueError):
        return None, None


def _notebook(file: Path) -> bool:
    """Whether it is what a kernel writes for a cell."""
    return any(part.startswith("ipykernel_") for part in file.parts)


def _repository_around(file: Path) -> Repository | None:
    for folder in file.parents:
        if "site-packages" in folder.parts:
            return None
        if (marker := folder / ".git").exists():
            return _repository(folder, marker)
    return None


@functools.lru_cache(maxsize=100)
def _repository(root: Path, marker: Path) -> Repository:
    """What git's files say; a file of them that cannot be read costs what it says."""
    own = marker
    if marker.is_file():
        own = (root / marker.read_text("utf-8").strip().removeprefix("gitdir: ")).resolve()
    shared = own
    if (pointer := own / "commondir").is_file():
        # A linked working tree: branches, tags and settings are those of the main one.
        shared = (own / pointer.read_text("utf-8").strip()).resolve()
    url = git.get_git_repo_url(git_dir=shared)
    return Repository(
        root=root,
        url=without_credentials(url) if url else None,
        version=_version(own, shared),
        branch=git.get_git_branch(own),
        tag=git.get_git_tag(own) if own == shared and _few_tags(shared) else None,
    )


def _version(own: Path, shared: Path) -> str | None:
    version = git.get_git_version(own)
    branch = git.get_git_branch(own)
    if version is None and branch is not None and (reference := shared / "refs" / "heads" / branch).is_file():
        return reference.read_text("utf-8").strip()
    return version


def _few_tags(git_dir: Path) -> bool:
    loose = itertools.islice((git_dir / "refs" / "tags").rglob("*"), MAX_TAGS + 1)
    packed = git_dir / "packed-refs"
    return sum(1 for _ in loose) <= MAX_TAGS and (
        not packed.exists() or packed.stat().st_size <= MAX_PACKED_REFS
    )


def without_credentials(url: str) -> str:
    """A remote's URL without user, password or options; the ``git@`` of SSH is no secret."""
    if match := HTTP_REMOTE.fullmatch(url):
        return f"{match['scheme']}://{match['host']}/{match['path']}"
    return parameters.without_passwords(url)


def page(remote: str | None, version: str | None, path: str, line: int | None = None) -> str | None:
    """The web page of a file at a version; None for a remote that is not on a host.

    Args:
        remote: URL of the remote, as git writes it, without credentials.
        version: Commit or branch.
        path: Path of the file in the repository.
        line: A line in it.
    """
    match = HTTP_REMOTE.fullmatch(remote or "") or SSH_REMOTE.fullmatch(remote or "")
    if match is None or not version:
        return None
    named = match.groupdict()
    host = named["host"] or named["short"]
    way = next((way for word, way in PAGES.items() if word in host), ELSEWHERE)
    below = way.format(version=version, path=path)
    repository = match["path"].removesuffix(".git").strip("/")
    scheme = named.get("scheme") or "https"
    return f"{scheme}://{host}/{repository}/{below}" + (f"#L{line}" if line else "")
