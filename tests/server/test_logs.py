"""One JSON object per line, whatever is logged."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = r"""
import logging, structlog
from openlineage_bridge.server.logs import configure
configure()
log = structlog.get_logger("bridge")
log.warning("refused", reason="a\r\nb\x1b[31m\u202e<b>")
try:
    secret = "hunter2"
    raise ValueError("a\nb")
except ValueError:
    log.exception("failed")
logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
logging.getLogger("uvicorn.error").info("noise")
logging.getLogger("httpx2").info("noise")
logging.getLogger("other").warning("with %s", "argument\nand line", extra={"said": "503\nbusy"})
"""


def test_one_json_object_per_line():
    """Line ends, escape sequences and exceptions stay inside their record, which holds no local variables (G28)."""
    program = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30
    )

    records = [json.loads(line) for line in program.stderr.splitlines()]

    assert [record["event"] for record in records] == [
        "refused",
        "failed",
        "Invalid HTTP request received.",
        "with argument\nand line",
    ]
    assert [record["logger"] for record in records] == ["bridge", "bridge", "uvicorn.error", "other"]
    assert records[3]["said"] == "503\nbusy"
    assert records[0]["reason"] == "a\r\nb\x1b[31m\u202e<b>"
    assert records[1]["exception"].endswith("ValueError: a\nb")
    assert not set("\x1b\u202e") & set(program.stderr)
    assert "hunter2" not in program.stderr
