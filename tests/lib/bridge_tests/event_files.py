"""Files that OpenLineage's file transport writes: one event a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events in a file of the file transport; none when it was never written."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
