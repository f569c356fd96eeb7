"""Delivering again what a destination was given already: it was rebuilt, restored, or somebody changed what is the bridge's."""

from __future__ import annotations

from collections.abc import Collection

from openlineage_bridge.errors import ConfigError
from openlineage_bridge.store import Store
from openlineage_bridge.store.destinations import active


def redeliver(store: Store, urns: Collection[str] | None, to: str | None = None) -> dict[str, int]:
    """Have destinations lack what they were given; the next delivery sends it. How much waits for each, by its name.

    One that takes events gets those again that the inbox still keeps, if everything is asked for.

    Args:
        store: Where it is written down.
        urns: Which entities; None for all.
        to: The name of the one destination that is meant; None for all.

    Raises:
        ConfigError: There is no such destination, or nothing is held about an entity.
    """
    with store.transaction():
        meant = _meant(store, to)
        for urn in urns or ():
            if not store.aspects.holds(urn):
                raise ConfigError(f"nothing is held about {urn}: it is no URN, or no event named it")
        return {
            label: _redeliver(store, number, urns, takes_events=events) for number, label, events in meant
        }


def _meant(store: Store, to: str | None) -> list[tuple[int, str, bool]]:
    known = active(store.connection)
    if to is None and known:
        return known
    meant = [each for each in known if each[1] == to]
    if not meant:
        names = (
            ", ".join(label for _, label, _ in known) or "none: nothing was ever delivered from this store"
        )
        raise ConfigError(f"no destination {to or ''} (known: {names})")
    return meant


def _redeliver(store: Store, number: int, urns: Collection[str] | None, *, takes_events: bool) -> int:
    if takes_events:
        if urns is None:
            store.destinations.forwarded(number, 0)
        return store.destinations.to_be_forwarded(number)
    for urn in [None] if urns is None else sorted(urns):
        store.aspects.redeliver(number, urn)
    return store.aspects.waiting(number)
