"""``openlineage-bridge health``: whether a bridge takes events right now, for whoever supervises it."""

from __future__ import annotations

import click


@click.command("health")
@click.option("--url", help="Its address.  [default: the port of the configuration, on this machine]")
def command(url: str | None) -> None:
    """Ask a running bridge whether it takes events right now.

    Exit code 0 when it does, 4 when it does not or nobody answers.

    \b
    Example:
      openlineage-bridge health --url http://127.0.0.1:5000
    """
    from openlineage_bridge.cli.remote import ready
    from openlineage_bridge.config import load

    if url is None:
        server = load(only={"server"}).server
        url = f"{'https' if server.tls else 'http'}://127.0.0.1:{server.port}"
    click.echo(ready(url))
