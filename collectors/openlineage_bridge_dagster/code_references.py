"""Where the code of a job is kept: Dagster's code references as ``sourceCodeLocation``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from openlineage.client.facet_v2 import JobFacet, source_code_location_job

from openlineage_bridge_dagster.naming import Metadata

KEY = "dagster/code_references"
"""Metadata of an asset, which ``link_code_references_to_git`` and the like write (dagster 1.8)."""

# What link_code_references_to_git makes: GitHub's and GitLab's pages of a file. The name of a branch may hold slashes;
# then it cannot be told from the folders behind it, and only its first part is taken.
_PAGE = re.compile(
    r"(?P<repository>https?://[^#]+?)(?:/-)?/(?:tree|blob)/(?P<revision>[^/#]+)/(?P<path>[^#]+)(?:#.*)?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def source_code_location(metadata: Iterable[Metadata]) -> dict[str, JobFacet]:
    """``sourceCodeLocation`` from the metadata of a step's assets: the first page in a repository that one refers to.

    Files of the machine that the code was loaded on are nobody else's, and left out.
    """
    for values in metadata:
        for reference in _references(values.get(KEY)):
            if isinstance(url := getattr(reference, "url", None), str):
                return {"sourceCodeLocation": _location(url)}
    return {}


def _references(value: Any) -> Iterable[Any]:
    """The references, with or without Dagster's wrapper around them."""
    found = getattr(value, "code_references", value)
    return found if isinstance(found, list | tuple) else ()


def _location(url: str) -> source_code_location_job.SourceCodeLocationJobFacet:
    page = _PAGE.fullmatch(url)
    if page is None:
        return source_code_location_job.SourceCodeLocationJobFacet(type="git", url=url)
    revision = page["revision"]
    is_commit = _COMMIT.fullmatch(revision) is not None
    return source_code_location_job.SourceCodeLocationJobFacet(
        type="git",
        url=url,
        repoUrl=page["repository"],
        path=page["path"],
        version=revision if is_commit else None,
        branch=None if is_commit else revision,
    )
