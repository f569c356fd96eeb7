"""What DataHub holds already, and from whom: so that a connector's metadata are not overwritten by poorer ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import attrs
import httpx2

from openlineage_bridge.translation import Delivered, Outcome, Proposal, Refused, Retry
from openlineage_bridge_datahub.options import DatasetOptions

JOBS = ("dataJob", "dataFlow")

FAMILIES = {
    ("dataset", "schemaMetadata"): "schema",
    ("dataset", "datasetProperties"): "properties",
    ("dataset", "subTypes"): "properties",
    ("dataset", "upstreamLineage"): "lineage",
    ("dataJob", "dataJobInputOutput"): "job_edges",
    ("dataset", "container"): "containers",
    ("dataset", "browsePathsV2"): "containers",
    ("dataset", "dataPlatformInstance"): "containers",
    ("dataPlatform", "dataPlatformInfo"): "properties",
    ("container", "containerProperties"): "containers",
    ("container", "subTypes"): "containers",
    ("container", "dataPlatformInstance"): "containers",
    ("container", "container"): "containers",
    ("container", "browsePathsV2"): "containers",
    **{
        (entity, aspect): "tags_and_owners"
        for entity in ("dataset", *JOBS)
        for aspect in ("globalTags", "glossaryTerms", "ownership")
    },
}
"""Entity and aspect → the option of ``datasets`` that says whether what others wrote stays."""

GAPS_ONLY = frozenset((entity, "domains") for entity in JOBS)
"""What is sent only where there is nothing, whatever the options: people move jobs between domains."""

AT_ONCE = 8
"""Questions that are asked at the same time."""

_KNOWN_LIMIT = 100_000


@attrs.define
class CannotAsk(Exception):  # noqa: N818 - a state of the server, no mistake
    """The server would not say; ``outcome`` is that of the proposal about which it was asked."""

    outcome: Outcome


@attrs.define
class Held:
    """Asks GMS which aspects it holds that somebody else wrote; remembers the answer while it is yes.

    Args:
        client: Connections, with the token.
        server: Base URL of GMS.
        pipeline: Under which name this program writes (``systemMetadata``).
        said: Which families of aspects are sent only where they are missing.
        runs: How the ids of this program's runs begin, where it has no lasting name.
    """

    client: httpx2.Client
    server: str
    pipeline: str
    said: DatasetOptions
    runs: str | None = None
    _others: set[tuple[str, str]] = attrs.field(factory=set, init=False)
    _patches: bool | None = attrs.field(default=None, init=False)

    def policy(self, proposal: Proposal) -> str:
        """``missing``, ``always``, ``add`` or ``never``; ``always`` for what no option is about.

        What jobs say of their owners and tags is always told, for nobody else tells it: added, or in place of all. A
        server that cannot add gets what it lacks.

        Raises:
            CannotAsk: The server does not answer.
        """
        if (proposal.entity_type, proposal.aspect_name) in GAPS_ONLY:
            return "missing"
        family = FAMILIES.get((proposal.entity_type, proposal.aspect_name))
        said: str = getattr(self.said, family) if family else "always"
        policy = "add" if proposal.entity_type in JOBS and said in ("missing", "never") else said
        return policy if policy != "add" or self._can_patch() else "missing"

    def _can_patch(self) -> bool:
        """Whether the server adds to lists; asked once (``/config``), and believed where it does not say."""
        if self._patches is None:
            answer = _answer(self.client, f"{self.server}/config")
            self._patches = answer.get("patchCapable", True) is not False
        return self._patches

    def left_alone(self, proposals: Sequence[Proposal]) -> tuple[dict[int, Outcome], list[int]]:
        """What became of proposals that are not sent, and which are; those behind a question without answer wait.

        What somebody else wrote, and what only is to fill a gap, stays as it is there: that counts as delivered. One
        question asks for all such aspects of an entity, and several are asked at once.
        """
        try:
            policies = [self.policy(each) for each in proposals]
        except CannotAsk as unanswered:
            return {0: unanswered.outcome}, []
        gaps = [n for n, policy in enumerate(policies) if policy == "missing"]
        unanswered_urns = self._learn(proposals[n] for n in gaps)
        outcomes: dict[int, Outcome] = {}
        for n in gaps:
            if proposals[n].urn in unanswered_urns:
                outcomes[n] = unanswered_urns[proposals[n].urn]
            elif (proposals[n].urn, proposals[n].aspect_name) in self._others:
                outcomes[n] = Delivered()
        until = next((n for n, each in outcomes.items() if isinstance(each, Retry)), len(proposals))
        return outcomes, [n for n in range(until) if n not in outcomes]

    def _learn(self, proposals: Iterable[Proposal]) -> dict[str, Outcome]:
        """Ask which of these aspects others wrote; by URN the outcome where the server would not say."""
        if len(self._others) >= _KNOWN_LIMIT:
            self._others.clear()
        questions: dict[str, set[str]] = {}
        for each in proposals:
            if (each.urn, each.aspect_name) not in self._others:
                questions.setdefault(each.urn, set()).add(each.aspect_name)
        first, *rest = questions.items() or [("", set())]
        outcome = self._ask(*first)
        if isinstance(outcome, Retry):  # it is away, or does not know us: one question is enough
            return dict.fromkeys(questions, outcome)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = pool.map(lambda question: self._ask(*question), rest)
        found = {first[0]: outcome, **dict(zip((urn for urn, _ in rest), answers, strict=True))}
        return {urn: each for urn, each in found.items() if each is not None}

    def _ask(self, urn: str, aspects: Iterable[str]) -> Outcome | None:
        """Remember which of its aspects others wrote; the outcome of a proposal about it where the server would not say."""
        if not aspects:
            return None
        try:
            held = entity_aspects(self.client, self.server, urn, sorted(aspects))
        except CannotAsk as unanswered:
            return unanswered.outcome
        self._others |= {(urn, name) for name, envelope in held.items() if not self.is_ours(envelope)}
        return None

    def is_ours(self, envelope: Mapping[str, Any]) -> bool:
        """Whether this program wrote it: then a change of what OpenLineage says is news."""
        system = envelope.get("systemMetadata")
        if not isinstance(system, dict):
            return False
        run = str(system.get("runId"))
        return self.pipeline in (system.get("pipelineName"), run) or (
            self.runs is not None and run.startswith(self.runs)
        )


def entity_aspects(
    client: httpx2.Client, server: str, urn: str, aspects: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """The named aspects that an entity has, each in its envelope; none of an entity that is not there.

    ``GET /entitiesV2/{urn}``, as acryl-datahub's ``DataHubGraph.get_entity_raw`` asks. Where aspects are not written but
    derived, as the key always is, they have no ``systemMetadata``.

    Raises:
        CannotAsk: The server does not answer, or not as GMS does.
    """
    answer = _answer(client, f"{server}/entitiesV2/{quote(urn, safe='')}?aspects=List({','.join(aspects)})")
    found = answer.get("aspects")
    return {
        name: envelope
        for name, envelope in (found or {}).items()
        if name in aspects and isinstance(envelope, dict)
    }


def _answer(client: httpx2.Client, address: str) -> Mapping[str, Any]:
    """The object that GMS answers; an empty one where there is nothing at the address.

    Raises:
        CannotAsk: It does not answer, or not as GMS does.
    """
    server = address.partition("?")[0]
    try:
        response = client.get(address)
        answer = response.json() if response.status_code == httpx2.codes.OK else {}
    except httpx2.HTTPError as error:
        raise CannotAsk(Retry(f"{server}: {str(error) or type(error).__name__}")) from error
    except ValueError as error:
        raise CannotAsk(Retry(f"{server} does not answer as GMS does")) from error
    if response.status_code not in (httpx2.codes.OK, httpx2.codes.NOT_FOUND):
        raise CannotAsk(_unanswered(response.status_code))
    return answer if isinstance(answer, dict) else {}


def _unanswered(status: int) -> Outcome:
    reason = f"DataHub would not say whether it has this aspect already (HTTP {status})"
    may_change = status in (401, 403, 408, 425, 429) or status >= 500 or status < 400
    return Retry(reason) if may_change else Refused(reason)
