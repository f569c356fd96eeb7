"""What differs between two states of the catalog, aspect by aspect, and inside an aspect field by field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import attrs

from openlineage_bridge.events import decode, encode
from openlineage_bridge.translation import Proposal


class Kind(StrEnum):
    """What became of an aspect."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@attrs.frozen
class Change:
    """An aspect that is held otherwise, or on one side only.

    Args:
        before: As it was; None where it was not there.
        after: As it is; None where it is not there.
    """

    before: Proposal | None
    after: Proposal | None

    @property
    def kind(self) -> Kind:
        """What became of it."""
        if self.before is None:
            return Kind.ADDED
        return Kind.REMOVED if self.after is None else Kind.CHANGED

    @property
    def about(self) -> Proposal:
        """The newer side that there is: it names the entity and the aspect."""
        known = self.after or self.before
        assert known is not None
        return known

    def fields(self) -> list[str]:
        """What is otherwise in it, in words: ``description``, ``inputDatasetEdges +2 -1``."""
        if self.before is None or self.after is None:
            return []
        return list(_fields(decode(self.before.body), decode(self.after.body)))


def changes(before: Iterable[Proposal], after: Iterable[Proposal]) -> Iterator[Change]:
    """What differs; both sides are sorted by entity, aspect and moment, each of which stands in it once."""
    old, new = iter(before), iter(after)
    one, other = next(old, None), next(new, None)
    while one is not None or other is not None:
        if other is None or (one is not None and _key(one) < _key(other)):
            yield Change(one, None)
            one = next(old, None)
        elif one is None or _key(other) < _key(one):
            yield Change(None, other)
            other = next(new, None)
        else:
            if one.body != other.body:
                yield Change(one, other)
            one, other = next(old, None), next(new, None)


def _key(proposal: Proposal) -> tuple[bytes, bytes, int]:
    """In the order of the store, which compares texts as UTF-8."""
    moment = -1 if proposal.timestamp_ms is None else proposal.timestamp_ms
    return proposal.urn.encode(), proposal.aspect_name.encode(), moment


def _fields(before: Any, after: Any) -> Iterator[str]:
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, list | Mapping | None) and isinstance(new, list | Mapping | None):
            yield f"{key} {_counted(old or [], new or [])}"
        else:
            yield key


def _counted(old: list[Any] | Mapping[str, Any], new: list[Any] | Mapping[str, Any]) -> str:
    """How many items came and went; what changed in an item counts as both. In another order they are the same items."""
    was, is_ = ({encode(each) for each in _items(side)} for side in (old, new))
    counts = (f"{sign}{count}" for sign, count in (("+", len(is_ - was)), ("-", len(was - is_))) if count)
    return " ".join(counts) or "in another order"


def _items(values: list[Any] | Mapping[str, Any]) -> Iterable[Any]:
    return values.items() if isinstance(values, Mapping) else values
