"""Reading bodies, against slow and simple models."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openlineage_bridge.receivers.http import BodyLimits, Payload, RefusedBody, inflate, split

LIMITS = BodyLimits(body=1000, decompressed=2000, depth=4, events=3)
TEXT = st.text(alphabet='ab"\\[]{},:\n\t é', max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def depth_of(value) -> int:
    match value:
        case dict():
            return 1 + max(map(depth_of, value.values()), default=0)
        case list():
            return 1 + max(map(depth_of, value), default=0)
        case _:
            return 0


def outcome(function, *args):
    """What the function returns, or the refusal that it raises."""
    try:
        return function(*args)
    except RefusedBody as refusal:
        return refusal


@given(JSON, st.sampled_from([None, 1]), st.booleans())
def test_split_agrees_with_json(value, indent, ascii_only):
    """For any JSON: too deep, too many, or exactly the items that the json module sees."""
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    many = isinstance(value, list)
    refusals = {"too_deep"} if depth_of(value) > LIMITS.depth else set()
    refusals |= {"too_many"} if many and len(value) > LIMITS.events else set()

    actual = outcome(split, body, LIMITS)

    if refusals:
        assert actual.kind in refusals
    else:
        assert many == actual.many
        assert (value if many else [value]) == [json.loads(event) for event in actual.events]


@given(
    st.lists(st.dictionaries(TEXT, TEXT, max_size=2), min_size=2, max_size=3),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_lines(values, end):
    """Objects on lines are an event each."""
    lines = [json.dumps(value).encode() for value in values]

    payload = split(end.encode().join(lines), LIMITS)

    assert Payload(tuple(lines), many=True) == payload


@given(st.binary(max_size=60) | st.text(alphabet='[]{}",\\ \n1', max_size=60).map(str.encode))
def test_split_is_total(body):
    """Any bytes give events or a refusal, and what is refused for its content is kept."""
    actual = outcome(split, body, LIMITS)

    if isinstance(actual, RefusedBody):
        assert actual.status in {400, 413}
        assert actual.keep in {None, body}
    else:
        assert actual.events or actual.many


@given(st.binary(max_size=3000), st.integers(1, 3))
def test_inflate_undoes_gzip(data, members):
    """What was packed comes back, up to the cap."""
    packed = gzip.compress(data) * members

    if len(data) * members > LIMITS.decompressed:
        with pytest.raises(RefusedBody) as caught:
            inflate(packed, "gzip", LIMITS)
        assert caught.value.status == 413
    else:
        assert data * members == inflate(packed, "gzip", LIMITS)


@given(st.binary(max_size=100))
def test_inflate_is_total(data):
    """Any bytes are gzip, or are refused and kept."""
    body = b"\x1f\x8b\x08" + data

    actual = outcome(inflate, body, "gzip", LIMITS)

    assert isinstance(actual, bytes) or (400, body) == (actual.status, actual.keep)


def test_a_bomb_needs_no_memory():
    """A bomb is stopped at the cap: the memory that it takes is the cap, not its size (G22)."""
    import tracemalloc

    limits = BodyLimits(decompressed=1024 * 1024)
    bomb = gzip.compress(b"\0" * 64 * 1024 * 1024)

    tracemalloc.start()
    with pytest.raises(RefusedBody):
        inflate(bomb, "gzip", limits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4 * limits.decompressed
