"""``openlineage-bridge prefect``: what it costs to ask for help, and what it says when nothing is configured."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("arguments", [["--help"], ["watch", "--help"], ["backfill", "--help"]])
def test_help_imports_click_only(arguments) -> None:
    """And Prefect neither for help nor for work."""
    code = (
        "import sys; sys.modules['prefect'] = None\n"
        "from openlineage_bridge_prefect.commands import prefect\n"
        f"try: prefect({arguments!r})\n"
        "finally: print([name for name in ('openlineage', 'prefect.flows', 'openlineage_bridge') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={"PATH": "/usr/bin"},
    )

    assert done.stdout.endswith("[]\n")
    assert "Usage:" in done.stdout


def test_nothing_configured_is_said_at_once(tmp_path) -> None:
    """No place to send to, or no API to ask: exit code 2 and what to set."""
    code = "from openlineage_bridge_prefect.commands import prefect; prefect()"

    def run(**env: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", code, "watch", "--once"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=tmp_path,
            env={"HOME": str(tmp_path), **env},
        )
        return done.returncode, done.stderr

    for expected, env in (("OPENLINEAGE_URL", {}), ("PREFECT_API_URL", {"OPENLINEAGE_URL": "http://x"})):
        code_, said = run(**env)
        assert (2, True) == (code_, expected in said)
