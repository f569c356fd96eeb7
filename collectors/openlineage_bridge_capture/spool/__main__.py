"""``python -m openlineage_bridge_capture.spool``: the commands, where only the collectors are installed."""

from __future__ import annotations

from openlineage_bridge_capture.spool.commands import spool

if __name__ == "__main__":
    spool(prog_name="python -m openlineage_bridge_capture.spool")
