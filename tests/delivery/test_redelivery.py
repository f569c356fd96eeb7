"""What was delivered is delivered again when somebody asks for it, to whom, and no more than that."""

from __future__ import annotations

import pytest

from openlineage_bridge.delivery import Here, couriers, deliver
from openlineage_bridge.errors import ConfigError
from openlineage_bridge.redelivery import redeliver
from openlineage_bridge.store import Store
from openlineage_bridge.store.database import MEMORY
from openlineage_bridge.translation import Aspect, MemorySink


@pytest.fixture
def store():
    with Store(MEMORY) as opened:
        for urn in ("urn:a", "urn:b"):
            aspects = [Aspect(urn, "dataset", "is", {"v": 1}), Aspect(urn, "dataset", "was", {"v": 1}, 1000)]
            opened.aspects.claim(urn.encode(), aspects)
        yield opened


def sent(*sinks: MemorySink) -> list[list[str]]:
    found = [[f"{each.urn} {each.aspect_name}" for each in sink.sent] for sink in sinks]
    for sink in sinks:
        sink.sent.clear()
    return found


ALL = ["urn:a is", "urn:a was", "urn:b is", "urn:b was"]


def test_everything_to_everybody(store):
    """Timeseries too: they carry their moment, so twice does no harm."""
    one, two = MemorySink(destination="one"), MemorySink(destination="two")
    deliver(store, one, two)
    sent(one, two)

    assert {"one": 4, "two": 4} == redeliver(store, None)
    deliver(store, one, two)
    assert [ALL, ALL] == sent(one, two)


def test_one_entity_to_one_destination(store):
    """And nothing else."""
    one, two = MemorySink(destination="one"), MemorySink(destination="two")
    deliver(store, one, two)
    sent(one, two)

    assert {"two": 2} == redeliver(store, ["urn:b"], "two")
    deliver(store, one, two)
    assert [[], ["urn:b is", "urn:b was"]] == sent(one, two)


def test_the_name_is_that_of_the_configuration(store):
    """Not the address."""
    couriers(Here(store), {"prod": MemorySink(destination="http://gms:8080")})

    assert {"prod": 4} == redeliver(store, None, "prod")


def test_what_is_not_there(store):
    """Is a mistake of the one who asks, who is told what there is; nothing is changed."""
    with pytest.raises(ConfigError, match="nothing was ever delivered"):
        redeliver(store, None)
    deliver(store, MemorySink(destination="one"))

    with pytest.raises(ConfigError, match=r"no destination other .known: one"):
        redeliver(store, None, "other")
    with pytest.raises(ConfigError, match="nothing is held about urn:c"):
        redeliver(store, ["urn:a", "urn:c"])
    assert 0 == store.aspects.waiting()
