"""The SQL of a job as DataHub's Query, which its datasets show among their queries and its column lineage links to."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence

from openlineage_bridge.translation import Aspect
from openlineage_bridge_datahub.encoding import platform_urn

ENTITY = "query"

MAX_CODE = 100_000
"""Longest statement that is sent, in characters."""

# When the query was first seen is no part of what a job is, and would differ from store to store.
_STAMP = {"time": 0, "actor": "urn:li:corpuser:datahub"}


def query_urn(job: str) -> str:
    """``urn:li:query:…`` of a job: the same while its statement changes."""
    return f"urn:li:query:{hashlib.md5(job.encode(), usedforsecurity=False).hexdigest()}"


def query_aspects(
    urn: str, job: str, statement: str, datasets: Sequence[str], platforms: Collection[str]
) -> Iterator[Aspect]:
    """The Query of a job.

    Args:
        urn: Its URN.
        job: URN of the DataJob, whose name it has.
        statement: The SQL.
        datasets: URNs of what it reads and writes.
        platforms: Platforms of these; where it is one, the query is of that.
    """
    properties = {
        "name": job.rpartition(",")[2].removesuffix(")"),
        "statement": {"value": statement[:MAX_CODE], "language": "SQL"},
        "source": "SYSTEM",
        "origin": job,
        "created": _STAMP,
        "lastModified": _STAMP,
    }
    yield Aspect(urn, ENTITY, "queryProperties", properties)
    yield Aspect(urn, ENTITY, "querySubjects", {"subjects": [{"entity": each} for each in datasets]})
    if len(platforms) == 1:
        [platform] = platforms
        yield Aspect(urn, ENTITY, "dataPlatformInstance", {"platform": platform_urn(platform)})
