"""Runs jobs of the golden project one after the other, in this process, until a file appears: ``writer.py FILE``."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path

from dagster import DagsterInstance

JOBS = ("shapes", "attempts", "telling", "nightly")


def main(stop: Path) -> None:
    """Run them; what fails by design fails."""
    spec = importlib.util.spec_from_file_location("definitions", Path(__file__).with_name("definitions.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    repository = module.defs.get_repository_def()
    with DagsterInstance.get() as instance:
        for name in itertools.cycle(JOBS):
            repository.get_job(name).execute_in_process(instance=instance, raise_on_error=False)
            if stop.exists():
                return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
