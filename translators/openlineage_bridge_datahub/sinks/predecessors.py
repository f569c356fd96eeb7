"""What GMS shows of jobs that orchestrators' own plugins wrote, and how it is hidden and brought back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import httpx2

from openlineage_bridge.errors import BridgeError, RetryLater
from openlineage_bridge.migrating import Predecessor
from openlineage_bridge.translation import Proposal
from openlineage_bridge_datahub.encoding import platform_urn
from openlineage_bridge_datahub.migration import PEERS, Ours, candidates, theirs
from openlineage_bridge_datahub.sinks.held import AT_ONCE, CannotAsk, Held, entity_aspects

PAGE = 5000
"""Entities in one answer, as ``DataHubGraph.get_urns_by_filter`` has it."""

TYPES = {"DATA_JOB": "dataJob", "DATA_FLOW": "dataFlow"}
"""What is listed: as GraphQL and as proposals call it."""

SCROLL = """
query scrollUrnsWithFilters($types: [EntityType!], $query: String!, $orFilters: [AndFilterInput!], $batchSize: Int!,
  $scrollId: String, $skipCache: Boolean!, $sortInput: SearchSortInput, $includeSoftDeleted: Boolean) {
  scrollAcrossEntities(input: {query: $query, count: $batchSize, scrollId: $scrollId, types: $types,
    orFilters: $orFilters, sortInput: $sortInput, searchFlags: {skipHighlighting: true, skipAggregates: true,
    skipCache: $skipCache, includeSoftDeleted: $includeSoftDeleted}}) {
    nextScrollId
    searchResults { entity { urn } extraProperties { name value } }
  }
}
"""


@attrs.frozen
class Predecessors:
    """Asks GMS.

    Its search lists jobs and flows, as ``datahub delete --platform`` finds them
    (``DataHubGraph.get_urns_by_filter``); a job that was written without a platform has that of its key
    (``DataPlatformInstanceUtils`` of GMS). What it holds of a job is read by its URN, and so is not late.

    Args:
        client: Connections, with the token.
        server: Base URL of GMS.
        held: Who wrote an aspect.
    """

    client: httpx2.Client
    server: str
    held: Held

    def of(self, held: Iterable[Proposal]) -> Iterator[Predecessor]:
        """Those of the flows that are held, with the change that hides each.

        Raises:
            RetryLater: GMS does not answer.
            BridgeError: It refuses to search.
        """
        ours = Ours.of(held)
        platforms = sorted({each.orchestrator for each in ours.flows.values()} & _platforms())
        visible = list(self._listed(platforms, removed=False)) if platforms else []
        wanted = candidates(visible, ours)
        infos = {
            urn: envelope.get("value") or {}
            for urn, envelope in self._aspects(wanted, "dataJobInfo")
            if not self.held.is_ours(envelope)
        }
        for each in theirs(infos, visible, ours):
            yield Predecessor(each.peer, _status(each.urn, removed=True), each.replaced_by)

    def hidden(self) -> Iterator[Predecessor]:
        """What this program hid, with the change that brings each back.

        Raises:
            RetryLater: GMS does not answer.
            BridgeError: It refuses to search.
        """
        listed = list(self._listed(sorted(_platforms()), removed=True))
        peers = {each.orchestrator: each.name for each in PEERS}
        for urn, envelope in self._aspects(listed, "status"):
            if self.held.is_ours(envelope) and (envelope.get("value") or {}).get("removed") is True:
                orchestrator = urn.rpartition("urn:li:dataFlow:(")[2].partition(",")[0]
                yield Predecessor(peers[orchestrator], _status(urn, removed=False))

    def _aspects(self, urns: Sequence[str], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """An aspect of each entity that has it, in its envelope."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(lambda urn: entity_aspects(self.client, self.server, urn, [name]), urns)
            try:
                for urn, aspects in zip(urns, found, strict=True):
                    if name in aspects:
                        yield urn, aspects[name]
            except CannotAsk as unanswered:
                reason = getattr(unanswered.outcome, "reason", "DataHub does not answer")
                raise RetryLater(reason) from unanswered

    def _listed(self, platforms: Sequence[str], *, removed: bool) -> Iterator[str]:
        """URNs of the jobs and flows of these platforms, page by page."""
        variables: dict[str, Any] = {
            "types": list(TYPES),
            "query": "*",
            "orFilters": [{"and": _rules(platforms, removed=removed)}],
            "batchSize": PAGE,
            "skipCache": True,
            "sortInput": None,
            "includeSoftDeleted": removed,
            "scrollId": None,
        }
        while True:
            page = self._page(variables)
            yield from (each["entity"]["urn"] for each in page["searchResults"])
            if not page.get("nextScrollId"):
                return
            variables["scrollId"] = page["nextScrollId"]

    def _page(self, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        order = {"query": SCROLL, "variables": variables}
        try:
            response = self.client.post(f"{self.server}/api/graphql", json=order)
            response.raise_for_status()
            answer = response.json()
            if not answer.get("errors"):
                page: Mapping[str, Any] = answer["data"]["scrollAcrossEntities"]
                return page
        except (httpx2.HTTPError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise RetryLater(f"{self.server} does not list its jobs: {error}") from error
        raise BridgeError(f"{self.server} does not list its jobs: {answer['errors']}")


def _platforms() -> set[str]:
    return {each.orchestrator for each in PEERS}


def _rules(platforms: Sequence[str], *, removed: bool) -> list[dict[str, Any]]:
    """Of one of the platforms; ``removed`` is negated because entities without a status are visible, too."""
    urns = [platform_urn(each) for each in platforms]
    status: dict[str, Any] = {"field": "removed", "condition": "EQUAL", "values": ["true"]}
    return [
        {"field": "platform.keyword", "condition": "EQUAL", "values": urns},
        status if removed else {**status, "negated": True},
    ]


def _status(urn: str, *, removed: bool) -> Proposal:
    """``status``, as ``DataHubGraph.set_soft_delete_status`` writes it."""
    entity = urn.removeprefix("urn:li:").partition(":")[0]
    return Proposal(entity, urn, "status", b'{"removed":true}' if removed else b'{"removed":false}')
