"""What DataHub holds already, and from whom: so that a connector's metadata are not overwritten by poorer ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import attrs
import httpx2

from openlineage_bridge.translation import Outcome, Proposal, Refused, Retry
from openlineage_bridge_datahub.options import DatasetOptions

JOBS = ("dataJob", "dataFlow")

FAMILIES = {
    ("dataset", "schemaMetadata"): "schema",
    ("dataset", "datasetProperties"): "properties",
    ("dataset", "subTypes"): "properties",
    ("dataset", "upstreamLineage"): "lineage",
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
    """

    client: httpx2.Client
    server: str
    pipeline: str
    said: DatasetOptions
    _others: set[tuple[str, str]] = attrs.field(factory=set, init=False)

    def policy(self, proposal: Proposal) -> str:
        """``missing``, ``always``, ``add`` or ``never``; ``always`` for what no option is about.

        What jobs say of their owners and tags is always told, for nobody else tells it: added, or in place of all.
        """
        family = FAMILIES.get((proposal.entity_type, proposal.aspect_name))
        said: str = getattr(self.said, family) if family else "always"
        return "add" if proposal.entity_type in JOBS and said in ("missing", "never") else said

    def by_others(self, proposals: Sequence[Proposal], position: int) -> bool:
        """Whether the aspect is one to be sent only where it is missing, and is not.

        One question asks for all such aspects of the entity that are among ``proposals``.

        Raises:
            CannotAsk: The server does not answer.
        """
        proposal = proposals[position]
        if self.policy(proposal) != "missing":
            return False
        key = proposal.urn, proposal.aspect_name
        if key not in self._others:
            aspects = {
                each.aspect_name
                for each in proposals
                if each.urn == proposal.urn and self.policy(each) == "missing"
            }
            self._learn(proposal.urn, aspects)
        return key in self._others

    def _learn(self, urn: str, aspects: Iterable[str]) -> None:
        if len(self._others) >= _KNOWN_LIMIT:
            self._others.clear()
        held = entity_aspects(self.client, self.server, urn, sorted(aspects))
        self._others |= {(urn, name) for name, envelope in held.items() if not self._is_ours(envelope)}

    def _is_ours(self, envelope: Mapping[str, Any]) -> bool:
        """Whether this program wrote it: then a change of what OpenLineage says is news."""
        system = envelope.get("systemMetadata")
        return isinstance(system, dict) and self.pipeline in (
            system.get("pipelineName"),
            system.get("runId"),
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
    address = f"{server}/entitiesV2/{quote(urn, safe='')}?aspects=List({','.join(aspects)})"
    try:
        response = client.get(address)
        answer = response.json() if response.status_code == httpx2.codes.OK else {}
    except httpx2.HTTPError as error:
        raise CannotAsk(Retry(f"{server}: {str(error) or type(error).__name__}")) from error
    except ValueError as error:
        raise CannotAsk(Retry(f"{server} does not answer as GMS does")) from error
    if response.status_code not in (httpx2.codes.OK, httpx2.codes.NOT_FOUND):
        raise CannotAsk(_unanswered(response.status_code))
    found = answer.get("aspects") if isinstance(answer, dict) else None
    return {
        name: envelope
        for name, envelope in (found or {}).items()
        if name in aspects and isinstance(envelope, dict)
    }


def _unanswered(status: int) -> Outcome:
    reason = f"DataHub would not say whether it has this aspect already (HTTP {status})"
    may_change = status in (401, 403, 408, 425, 429) or status >= 500 or status < 400
    return Retry(reason) if may_change else Refused(reason)
