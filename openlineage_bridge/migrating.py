"""What a live catalog still has from the programs that reported the same jobs before the bridge did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import attrs

from openlineage_bridge.translation import Proposal, Sink


@attrs.frozen
class Predecessor:
    """An entity that another program wrote, for a job that the bridge reports now or once could.

    Args:
        peer: The program.
        change: What hides the entity, or brings it back; not sent yet.
        replaced_by: URNs of the bridge's own entities that stand for the same job; empty where there are none.
    """

    peer: str
    change: Proposal
    replaced_by: tuple[str, ...] = ()

    @property
    def urn(self) -> str:
        """The entity."""
        return self.change.urn


@runtime_checkable
class Migratable(Sink, Protocol):
    """A sink whose destination can be asked what others left there."""

    def predecessors(self, held: Iterable[Proposal]) -> Iterator[Predecessor]:
        """What known programs wrote about the flows that are in ``held``, and is visible; never what ``held`` has itself.

        Args:
            held: Everything that the catalog should hold, the aspects of an entity together.

        Raises:
            RetryLater: The destination does not answer.
        """
        ...

    def hidden(self) -> Iterator[Predecessor]:
        """What was hidden under the bridge's name, with the change that brings it back.

        Raises:
            RetryLater: The destination does not answer.
        """
        ...
