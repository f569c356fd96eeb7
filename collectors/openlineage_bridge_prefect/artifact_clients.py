"""Prefect's clients, watched where they create an artifact: what comes back names the run that it is of."""

from __future__ import annotations

import functools
import inspect
import logging
from types import ModuleType
from typing import Any

from openlineage_bridge_capture import log
from openlineage_bridge_prefect import artifacts, wrapping

CLIENTS = ("PrefectClient", "SyncPrefectClient")
"""Classes of ``prefect.client.orchestration``, for the method ``create_artifact(self, artifact)``."""


def instrument(module: ModuleType) -> None:
    """Watch the clients in ``prefect.client.orchestration``; one that is not as expected is left alone."""
    for name in CLIENTS:
        cls: Any = getattr(module, name, None)
        original = getattr(cls, "create_artifact", None)
        if original is None or hasattr(original, wrapping.MARKER):
            continue
        if problem := wrapping.check(original, ("self", "artifact")):
            log.once(logging.INFO, "Artifacts are not reported: create_artifact of %s: %s", name, problem)
            continue
        wrapper = observed(original)
        setattr(wrapper, wrapping.MARKER, True)
        cls.create_artifact = wrapper


def observed(original: Any) -> Any:
    """A client's ``create_artifact`` that behaves as before and keeps what came back."""
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def create_artifact_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            created = await original(self, *args, **kwargs)
            artifacts.note(created)
            return created

        return create_artifact_async

    @functools.wraps(original)
    def create_artifact(self: Any, *args: Any, **kwargs: Any) -> Any:
        created = original(self, *args, **kwargs)
        artifacts.note(created)
        return created

    return create_artifact
