"""What DataHub knows of datasets: there, there under another name, or there only because of us."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import httpx2

from openlineage_bridge.errors import RetryLater
from openlineage_bridge.translation import Known, Standing
from openlineage_bridge_datahub.sinks.held import CannotAsk, entity_aspects

WRITTEN = ("datasetProperties", "schemaMetadata", "status", "subTypes", "container", "upstreamLineage")
"""Aspects by which a connector is known: each writes some of these, and GMS makes none of them up by itself."""

AT_ONCE = 8
"""Questions that are asked at the same time."""

MOST_HITS = 100

_URN = re.compile(
    r"urn:li:dataset:\(urn:li:dataPlatform:(?P<platform>[^,()]+),(?P<name>[^,()]+),(?P<env>[^,()]+)\)"
)

_SEARCH = """
query search($input: SearchAcrossEntitiesInput!) {
  searchAcrossEntities(input: $input) { searchResults { entity { urn } } }
}
"""


@attrs.frozen
class DatasetCatalog:
    """Asks GMS.

    Args:
        client: Connections, with the token.
        server: Base URL of GMS.
        pipeline: Under which name this program writes (``systemMetadata``).
    """

    client: httpx2.Client
    server: str
    pipeline: str

    def look_up(self, urns: Sequence[str]) -> Iterator[Known]:
        """What is known of each dataset, in order.

        Raises:
            RetryLater: GMS does not answer.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield from pool.map(self._known, urns)

    def _known(self, urn: str) -> Known:
        writers = self._writers(urn)
        if writers - {self.pipeline}:
            return Known(urn, Standing.EXISTS)
        others = [each for each in self._alike(urn) if self._writers(each) - {self.pipeline}]
        cased = tuple(each for each in others if each.lower() == urn.lower())
        if cased:
            return Known(urn, Standing.CASING, cased)
        if others:
            return Known(urn, Standing.ELSEWHERE, tuple(others))
        return Known(urn, Standing.GHOST if writers else Standing.ABSENT)

    def _writers(self, urn: str) -> set[str]:
        """Who wrote about the dataset: names of pipelines; empty for one that does not say."""
        try:
            held = entity_aspects(self.client, self.server, urn, WRITTEN)
        except CannotAsk as unanswered:
            raise RetryLater(getattr(unanswered.outcome, "reason", "DataHub does not answer")) from unanswered
        return {_writer(envelope, self.pipeline) for envelope in held.values()}

    def _alike(self, urn: str) -> list[str]:
        """Datasets of the same platform whose name is this one in another case, or ends as it does; likeliest first."""
        parts = _URN.fullmatch(urn)
        if parts is None:
            return []
        platform = f"urn:li:dataPlatform:{parts['platform']}"
        lowered = [_equal("lowercasedUrn", urn.lower()), _equal("urn", urn.lower())]
        last = re.split(r"[./]", parts["name"].rstrip("/"))[-1]
        hits = [
            *self._search("*", [{"and": [each]} for each in lowered]),
            *self._search(f'"{last}"', [{"and": [_equal("platform", platform)]}]),
        ]
        name = parts["name"].lower()
        alike = {each for each in hits if each != urn and _is_alike(name, parts["platform"], each)}
        return sorted(alike, key=lambda each: (abs(len(each) - len(urn)), each))

    def _search(self, query: str, filters: list[dict[str, Any]]) -> list[str]:
        variables = {
            "input": {
                "types": ["DATASET"],
                "query": query,
                "start": 0,
                "count": MOST_HITS,
                "orFilters": filters,
            }
        }
        try:
            response = self.client.post(
                f"{self.server}/api/graphql", json={"query": _SEARCH, "variables": variables}
            )
            answer = response.json() if response.status_code == httpx2.codes.OK else None
        except (httpx2.HTTPError, ValueError) as error:
            raise RetryLater(f"{self.server}: {str(error) or type(error).__name__}") from error
        if answer is None:
            raise RetryLater(f"{self.server} would not search (HTTP {response.status_code})")
        return list(_urns(answer))


def _writer(envelope: Any, ours: str) -> str:
    """Our own name for what we wrote; for anything else the name of its pipeline, or that of nobody in particular."""
    system = envelope.get("systemMetadata")
    if not isinstance(system, dict):
        return ""
    names = [each for field in ("pipelineName", "runId") if isinstance(each := system.get(field), str)]
    return ours if ours in names else next(iter(names), "")


def _equal(field: str, value: str) -> dict[str, Any]:
    return {"field": field, "condition": "EQUAL", "values": [value]}


def _is_alike(name: str, platform: str, urn: str) -> bool:
    """Whether one name ends with the whole of the other, at the boundary of a part."""
    parts = _URN.fullmatch(urn)
    if parts is None or parts["platform"] != platform:
        return False
    shorter, longer = sorted((name.lstrip("/"), parts["name"].lower().lstrip("/")), key=len)
    return longer == shorter or longer.endswith((f".{shorter}", f"/{shorter}"))


def _urns(answer: Any) -> Iterable[str]:
    """URNs of a GraphQL answer; none of one that has another shape."""
    found = answer.get("data") if isinstance(answer, dict) else None
    found = found.get("searchAcrossEntities") if isinstance(found, dict) else None
    for each in (found.get("searchResults") or []) if isinstance(found, dict) else []:
        urn = (each.get("entity") or {}).get("urn") if isinstance(each, dict) else None
        if isinstance(urn, str):
            yield urn
