"""What a doctor found: the contract between a collector's check of itself and whoever shows it.

A doctor is a function without arguments that returns findings as plain mappings, in the order in which lineage flows; it is
found by the entry-point group ``openlineage_bridge.doctors``. Mappings, because the bridge's command line knows no
collector's classes.
"""

from __future__ import annotations

from typing import Literal

import attrs

State = Literal["ok", "note", "problem"]
"""``problem``: no lineage flows before it is solved. ``note``: worth knowing; lineage flows all the same."""


@attrs.frozen
class Finding:
    """One thing that was looked at.

    Args:
        check: What, in a word or two.
        state: How it is.
        says: What was found, in one sentence.
        do: What the user can do about it, as something to type where that is possible; empty where nothing is to be done.
    """

    check: str
    state: State
    says: str
    do: str = ""

    def to_json(self) -> dict[str, str]:
        """The mapping that a doctor returns."""
        return {"check": self.check, "state": self.state, "says": self.says, "do": self.do}
