"""What the bridge knows depends on what was said, never on the order, the repetition or the batches it was said in (G08)."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openlineage_bridge.translation import load_translator

OVERLOOKED = {"DatasetState.facets", "JobIdentity.producer", "JobIdentity.parent", "JobIdentity.root"}
"""What ``test_derivation`` shows to be out of date at times."""


@pytest.fixture(scope="session")
def translators(plain):
    """By name: from the simplest to the real one."""
    return {
        "plain": plain.PlainTranslator(),
        "nosy": plain.NosyTranslator(frozenset(OVERLOOKED)),
        "datahub": load_translator("datahub", {}),
    }


@pytest.mark.parametrize("name", ["plain", "nosy", "datahub"])
@pytest.mark.parametrize("window", [1, 2])
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_order(told, world, translators, name, window, data):
    """Equal facts, edges, runs and aspects, however a history is told."""
    history = data.draw(world.histories)
    anyhow = data.draw(world.told_anyhow(history))

    expected = told([history], translators[name], window)
    actual = told(anyhow, translators[name], window)

    assert expected == actual
    assert actual["quarantine"] == []


@pytest.mark.parametrize("name", ["plain", "datahub"])
def test_any_order_of_real_events(told, translators, shared_data, name):
    """All real events, of every producer at once, in three orders and in batches of several sizes."""
    history = [
        line
        for file in sorted((shared_data / "events").glob("*.jsonl"))
        for line in file.read_bytes().splitlines()
    ]
    expected = told([history], translators[name])
    chance = random.Random(20240101)

    assert len(history) > 400
    assert expected["quarantine"] == []
    for size in (1, 17, 200):
        shuffled = chance.sample(history, len(history)) + chance.sample(history, 40)
        batches = [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
        assert expected == told(batches, translators[name])
