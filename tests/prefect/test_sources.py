"""Where the code of a flow or task stands, by the files that git keeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from openlineage_bridge_prefect import sources

SHA = "0123456789abcdef0123456789abcdef01234567"


def _repository(root: Path, remote: str | None = "git@github.com:acme/flows.git") -> Path:
    """A working tree as git would leave it, with one file of code."""
    git = root / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "refs" / "tags").mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "refs" / "heads" / "main").write_text(f"{SHA}\n")
    (git / "refs" / "tags" / "v1").write_text(f"{SHA}\n")
    (git / "config").write_text(f'[remote "origin"]\n\turl = {remote}\n' if remote else "[core]\n")
    return _code(root / "flows" / "etl.py")


def _code(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n\ndef load():\n    pass\n")
    return file


def _definition(file: Path) -> SimpleNamespace:
    namespace: dict = {}
    exec(compile(file.read_text(), str(file), "exec"), namespace)
    return SimpleNamespace(fn=namespace["load"])


@pytest.mark.parametrize(
    ("remote", "repository", "page"),
    [
        (
            "git@github.com:acme/flows.git",
            "git@github.com:acme/flows.git",
            "https://github.com/acme/flows/blob/{}",
        ),
        (
            "https://ann:t0ken@github.com/acme/flows",
            "https://github.com/acme/flows",
            "https://github.com/acme/flows/blob/{}",
        ),
        (
            "https://t0ken@gitlab.acme.io/a/b/c.git",
            "https://gitlab.acme.io/a/b/c.git",
            "https://gitlab.acme.io/a/b/c/-/blob/{}",
        ),
        (
            "ssh://git@bitbucket.org:22/acme/flows.git",
            "ssh://git@bitbucket.org:22/acme/flows.git",
            "https://bitbucket.org/acme/flows/src/{}",
        ),
    ],
)
def test_code_in_a_repository(remote, repository, page, tmp_path) -> None:
    """File, commit, branch, tag and the web page of the line; never the credentials of the remote."""
    file = _repository(tmp_path, remote)
    location = sources.location(_definition(file), {})

    assert ("git", repository, "flows/etl.py", SHA, "main", "v1") == (
        location.type,
        location.repoUrl,
        location.path,
        location.version,
        location.branch,
        location.tag,
    )
    assert f"{page.format(SHA)}/flows/etl.py#L3" == location.url


def test_a_repository_without_a_remote(tmp_path) -> None:
    """The file where it lies, at its commit."""
    file = _repository(tmp_path, remote=None)
    location = sources.location(_definition(file), {})

    assert (file.as_uri(), None, SHA) == (location.url, location.repoUrl, location.version)


def test_code_in_a_linked_working_tree(tmp_path) -> None:
    """Branch and commit are its own, the remote is the main working tree's."""
    _repository(tmp_path / "main")
    git = tmp_path / "main" / ".git"
    own = git / "worktrees" / "other"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/other\n")
    (own / "commondir").write_text("../..\n")
    (git / "refs" / "heads" / "other").write_text(f"{SHA[::-1]}\n")
    file = _code(tmp_path / "other" / "etl.py")
    (tmp_path / "other" / ".git").write_text(f"gitdir: {own}\n")
    location = sources.location(_definition(file), {})

    assert ("git@github.com:acme/flows.git", SHA[::-1], "other", "etl.py") == (
        location.repoUrl,
        location.version,
        location.branch,
        location.path,
    )


def test_code_outside_a_repository(tmp_path) -> None:
    """The file; a worker's temporary copy under the name that the entrypoint has for it."""
    file = _code(tmp_path / "flows" / "etl.py")
    location = sources.location(_definition(file), {"entrypoint": "flows/etl.py:load"})
    other = sources.location(_definition(file), {"entrypoint": "another.py:load"})

    assert ("file", f"{file.as_uri()}#L3", "flows/etl.py") == (location.type, location.url, location.path)
    assert file.as_posix() == other.path


@pytest.mark.parametrize(
    "definition", [None, SimpleNamespace(), SimpleNamespace(fn=len), SimpleNamespace(fn=eval("lambda: 1"))]
)
def test_code_that_stands_in_no_file(definition) -> None:
    """Nothing is said, unless the deployment says where the code comes from."""
    step = {
        "prefect.deployments.steps.git_clone": {
            "repository": "https://ann:t0ken@github.com/acme/flows.git",
            "branch": "main",
        }
    }
    deployment = {"entrypoint": "flows/etl.py:load", "pull_steps": [step]}
    location = sources.location(definition, deployment)

    assert sources.location(definition, {}) is None
    assert ("https://github.com/acme/flows.git", "https://github.com/acme/flows/blob/main/flows/etl.py") == (
        location.repoUrl,
        location.url,
    )


def test_a_repository_with_too_many_tags_is_not_searched(tmp_path, monkeypatch) -> None:
    """Reading thousands of files is not worth a tag."""
    monkeypatch.setattr(sources, "MAX_TAGS", 0)
    location = sources.location(_definition(_repository(tmp_path)), {})

    assert (SHA, None) == (location.version, location.tag)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv/code", "file:///srv/code/flows/etl.py#L3"),
        ("s3://ann:s3cret@bucket/code/", "s3://ann:***@bucket/code/flows/etl.py#L3"),
        (None, "flows/etl.py#L3"),
    ],
)
def test_a_workers_copy_of_the_code(path, expected, tmp_path, monkeypatch) -> None:
    """Told as what it is a copy of: the folder is another for each run, the code is the same."""
    monkeypatch.setattr(sources.tempfile, "gettempdir", lambda: str(tmp_path))
    deployment = {"path": path, "entrypoint": "flows/etl.py:load"}
    copies = [
        _code(tmp_path / folder / "flows" / "etl.py") for folder in ("tmp1prefect", "prefect-flow-run-2")
    ]
    first, second = (sources.location(_definition(file), deployment) for file in copies)

    assert ("flows/etl.py", expected) == (first.path, first.url)
    assert first == second
    # A task's run does not say whose deployment it is in.
    assert "flows/etl.py" == sources.location(_definition(copies[0]), {}).path
