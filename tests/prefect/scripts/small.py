"""A flow with a task, for tests that look at everything around it; the first argument chooses the loader."""

from __future__ import annotations

import resource
import socket
import sys
import threading
import time

if "import-before" in sys.argv:
    import openlineage_bridge_prefect

if "full-disk" in sys.argv:
    # No file may grow past this: the spool's, after some events.
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

if "hanging-resolver" in sys.argv:
    resolve = socket.getaddrinfo

    def hang(host: object, *arguments: object, **named: object) -> object:
        if str(host).endswith(".invalid"):
            threading.Event().wait(600)
        return resolve(host, *arguments, **named)

    socket.getaddrinfo = hang

from prefect import flow, task

if "import-after" in sys.argv:
    import openlineage_bridge_prefect  # noqa: F401 - the import is what is tested


@task
def double(number: int) -> int:
    return 2 * number


@flow(name="small")
def small() -> int:
    return sum(double(number) for number in range(3))


def break_the_collector() -> None:
    """A bug of the collector's own: no transition can be copied, and no event built."""
    from openlineage_bridge_prefect import events, snapshots

    def bug(*_: object, **__: object) -> None:
        raise AssertionError("a bug")

    snapshots.of_flow_run = events.build = bug


def main() -> None:
    if "buggy" in sys.argv:
        break_the_collector()
    began = time.perf_counter()
    result = small()
    print(f"{result} {time.perf_counter() - began:.3f}")  # noqa: T201 - the test reads it
    if "fail" in sys.argv:
        sys.exit(7)


if __name__ == "__main__":
    main()
