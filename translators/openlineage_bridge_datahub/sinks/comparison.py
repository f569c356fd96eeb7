"""What GMS holds beside what it should hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice
from typing import Any

import attrs
import httpx2

from openlineage_bridge.comparing import Compared, State
from openlineage_bridge.errors import RetryLater
from openlineage_bridge.translation import Proposal
from openlineage_bridge_datahub.sinks.held import AT_ONCE, CannotAsk, Held, entity_aspects

ENTITIES = 200
"""Entities that are asked about before the answers are handed on."""

MOMENTS = 10_000
"""Most moments of a timeseries aspect that GMS is asked for."""

MOST_PATHS = 5
"""Places of one aspect that are named as different."""


@attrs.frozen
class Comparison:
    """Asks GMS about every entity once.

    Args:
        client: Connections, with the token.
        server: Base URL of GMS.
        held: Which aspects are left to others, and which are only added to.
    """

    client: httpx2.Client
    server: str
    held: Held

    def compare(self, proposals: Iterable[Proposal]) -> Iterator[Compared]:
        """How each of the proposals stands; those of an entity have to stand together.

        Raises:
            RetryLater: GMS does not answer.
        """
        entities = (list(of_one) for _, of_one in groupby(proposals, key=lambda each: each.urn))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while some := list(islice(entities, ENTITIES)):
                for compared in pool.map(self._entity, some):
                    yield from compared

    def _entity(self, proposals: Sequence[Proposal]) -> list[Compared]:
        try:
            versioned = {each.aspect_name for each in proposals if each.timestamp_ms is None}
            there = (
                entity_aspects(self.client, self.server, proposals[0].urn, sorted(versioned))
                if versioned
                else {}
            )
            moments = {
                name: self._moments(proposals[0], name)
                for name in sorted({each.aspect_name for each in proposals if each.timestamp_ms is not None})
            }
            return [
                self._versioned(each, there.get(each.aspect_name))
                if each.timestamp_ms is None
                else _compared(each, moments[each.aspect_name].get(each.timestamp_ms), adds=False)
                for each in proposals
            ]
        except CannotAsk as unanswered:
            raise RetryLater(getattr(unanswered.outcome, "reason", "DataHub does not answer")) from unanswered

    def _versioned(self, proposal: Proposal, envelope: Mapping[str, Any] | None) -> Compared:
        policy = self.held.policy(proposal)
        if policy == "missing" and envelope is not None and not self.held.is_ours(envelope):
            return Compared(proposal, State.OTHERS)
        return _compared(proposal, None if envelope is None else envelope.get("value"), adds=policy == "add")

    def _moments(self, proposal: Proposal, name: str) -> dict[int, Any]:
        """A timeseries aspect of an entity by moment, as ``DataHubGraph.get_timeseries_values`` asks for it."""
        order = {"urn": proposal.urn, "entity": proposal.entity_type, "aspect": name, "limit": MOMENTS}
        try:
            answer = self.client.post(f"{self.server}/aspects?action=getTimeseriesAspectValues", json=order)
            answer.raise_for_status()
            values = [json.loads(each["aspect"]["value"]) for each in answer.json()["value"]["values"]]
            return {each["timestampMillis"]: each for each in values}
        except (httpx2.HTTPError, ValueError, LookupError, TypeError) as error:
            raise RetryLater(f"{self.server} does not tell its {name}: {error}") from error


def _compared(proposal: Proposal, there: Any, *, adds: bool) -> Compared:
    if there is None:
        return Compared(proposal, State.MISSING)
    paths = tuple(islice(differences(json.loads(proposal.body), there, adds=adds), MOST_PATHS))
    return Compared(proposal, State.DIFFERENT if paths else State.EQUAL, paths)


def differences(ours: Any, theirs: Any, path: str = "", *, adds: bool = False) -> Iterator[str]:
    """Where ``theirs`` lacks something of ``ours``, as JSON pointers; pure.

    GMS fills in defaults, so what it has besides is no difference, nor is something empty that it leaves out.

    Args:
        ours: What should be there.
        theirs: What is there.
        path: Where both are.
        adds: Whether lists may have more elements, and in another order.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if value not in ({}, [], None) or key in theirs:
                yield from differences(value, theirs.get(key), f"{path}/{key}", adds=adds)
    elif isinstance(ours, list) and isinstance(theirs, list):
        yield from _differences_of_lists(ours, theirs, path, adds=adds)
    elif ours != theirs and not (ours is None and theirs in ({}, [])):
        yield path or "/"


def _differences_of_lists(ours: list[Any], theirs: list[Any], path: str, *, adds: bool) -> Iterator[str]:
    if adds:
        for place, value in enumerate(ours):
            if not any(next(differences(value, other, adds=True), None) is None for other in theirs):
                yield f"{path}/{place}"
        return
    for place, (value, other) in enumerate(zip(ours, theirs, strict=False)):
        yield from differences(value, other, f"{path}/{place}")
    if len(ours) != len(theirs):
        yield f"{path}/{min(len(ours), len(theirs))}"
