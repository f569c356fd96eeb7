"""The client of Prefect's API: its pace, its key, and what its errors say."""

from __future__ import annotations

import pytest
from bridge_tests.prefect_api import flow_run, listening

from openlineage_bridge_prefect.watch.api import Api, ApiError
from openlineage_bridge_prefect.watch.connection import Connection


@pytest.fixture
def prefect():
    """A stub of Prefect's API that listens."""
    with listening() as stub:
        yield stub


def test_requests_carry_the_key_and_keep_the_pace(prefect) -> None:
    """The pause between two is what the rate asks for."""
    pauses: list[float] = []
    api = Api(Connection(prefect.url, "Bearer k"), requests_per_second=2, wait=pauses.append)
    for _ in range(3):
        api.get("/flow_runs/none")

    assert {"Bearer k"} == {headers["Authorization"] for *_, headers in prefect.asked}
    assert 2 == len(pauses)
    assert all(0 < pause <= 1.0 for pause in pauses)


@pytest.mark.parametrize(
    ("status", "headers", "asked", "hopeless"),
    [(429, {"Retry-After": "7"}, 7.0, False), (503, {}, None, False), (401, {}, None, True)],
)
def test_errors_say_what_to_do(prefect, status, headers, asked, hopeless) -> None:
    """How long to wait, and whether waiting can help."""
    prefect.answers.append((status, headers))
    with pytest.raises(ApiError, match=str(status)) as error:
        Api(Connection(prefect.url)).post("/flow_runs/filter", {})

    assert (status, asked, hopeless) == (error.value.status, error.value.retry_after, error.value.hopeless)


def test_a_back_fill_tries_again_itself(prefect) -> None:
    """As long as trying can help, and after the time that was asked for."""
    prefect.answers.extend([(503, {}), (429, {"Retry-After": "7"})])
    pauses: list[float] = []
    api = Api(Connection(prefect.url), attempts=3, wait=pauses.append)

    assert [flow_run()] == api.post("/flow_runs/filter", {})
    assert 7.0 == pauses[1]
    assert 3 == api.requests


def test_an_api_that_is_away_is_an_error(free_port) -> None:
    """Not an exception of the HTTP library."""
    with pytest.raises(ApiError, match="flow_runs"):
        Api(Connection(f"http://127.0.0.1:{free_port}/api")).get("/flow_runs/x")
