"""What the collector adds to a flow's wall time when its backend is in trouble, next to the bound.

Prints a line for each kind of trouble: seconds of the whole process, of the flow, and what was added to the process that
reports nowhere. Starts a Prefect server of its own, on a free port and with a database that is gone afterwards.
"""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BOUND_SECONDS = 2.0
SCRIPT = Path(__file__).parents[1] / "tests" / "prefect" / "scripts" / "small.py"


class _Broken(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def backends() -> Iterator[dict[str, str | None]]:
    """Trouble → the URL of a backend that is in it; None for no backend at all."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Broken) as broken, socket.socket() as hanging:
        threading.Thread(target=broken.serve_forever, daemon=True).start()
        hanging.bind(("127.0.0.1", 0))
        # Connections are made by the kernel, and nobody ever answers.
        hanging.listen(128)
        yield {
            "nothing configured": None,
            "refuses": "http://127.0.0.1:9",
            "hangs": f"http://127.0.0.1:{hanging.getsockname()[1]}",
            "answers 500": f"http://127.0.0.1:{broken.server_address[1]}",
            "host unknown": "http://backend.invalid:5000",
        }
        broken.shutdown()


@contextmanager
def server(home: str) -> Iterator[str]:
    """The URL of the API of a Prefect server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("prefect")),
        "server",
        "start",
        "--no-ui",
        "--port",
        str(port),
    ]
    env = {**os.environ, "PREFECT_HOME": home, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            api = f"http://127.0.0.1:{port}/api"
            while running.poll() is None and not _answers(f"{api}/health"):
                time.sleep(0.5)
            yield api
        finally:
            running.terminate()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def seconds(url: str | None, home: str, api: str) -> tuple[float, float]:
    """Wall time of a process with one flow, and of the flow in it."""
    own = {
        "PREFECT_HOME": home,
        "PREFECT_API_URL": api,
        "PREFECT_PLUGINS_ENABLED": "1",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "OPENLINEAGE_BRIDGE_SPOOL_FOLDER": f"{home}/spool-{time.monotonic_ns()}",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENLINEAGE")}
    env = {**inherited, **own, **({"OPENLINEAGE_URL": url} if url else {})}
    began = time.monotonic()
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True, timeout=120)
    return time.monotonic() - began, float(done.stdout.split()[1])


def main() -> None:
    with tempfile.TemporaryDirectory() as home, server(home) as api, backends() as urls:
        seconds(None, home, api)
        plain = [seconds(None, home, api) for _ in range(2)]
        process, flow = (min(times) for times in zip(*plain, strict=True))
        print(f"{'backend':20} {'process':>8} {'flow':>6} {'added':>6}   bound {BOUND_SECONDS:.1f} s")
        for trouble, url in urls.items():
            whole, own = seconds(url, home, api)
            print(f"{trouble:20} {whole:8.2f} {own:6.2f} {max(whole - process, own - flow):6.2f}")


if __name__ == "__main__":
    main()
