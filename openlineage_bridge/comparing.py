"""What a live catalog has of what it should hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Protocol, runtime_checkable

import attrs

from openlineage_bridge.translation import Proposal


class State(StrEnum):
    """How one aspect stands in the catalog."""

    EQUAL = "equal"
    """As it should, or with more beside it where the bridge only adds."""
    MISSING = "missing"
    """Not there."""
    DIFFERENT = "different"
    """There with another content."""
    OTHERS = "others"
    """There from somebody else, and left alone."""


@attrs.frozen
class Compared:
    """One aspect that should be held, and how it stands.

    Args:
        proposal: What should be held.
        state: How it stands in the catalog.
        paths: Where the two differ, e.g. ``/fields/0/nullable``; only for what is different.
    """

    proposal: Proposal
    state: State
    paths: tuple[str, ...] = ()


@runtime_checkable
class Comparable(Protocol):
    """A sink whose destination can be asked what it holds."""

    def compare(self, proposals: Iterable[Proposal]) -> Iterator[Compared]:
        """How each of the proposals stands, in their order; those of an entity stand together in ``proposals``.

        Raises:
            RetryLater: The destination does not answer.
        """
        ...
