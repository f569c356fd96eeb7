"""``openlineage-bridge serve``: the HTTP receiver, the pipeline, delivery, the page and the metrics in one process."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from openlineage_bridge.cli.options import config_option, load_config, sink_of, store_option, translator_of


@click.command("serve")
@store_option
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="TCP port; 0 takes any free one.  [default: 5000]")
@click.option(
    "--insecure", is_flag=True, default=None, help="Accept events from other machines without a token."
)
@config_option
def command(
    store: Path | None, host: str | None, port: int | None, insecure: bool | None, config_file: Path | None
) -> None:
    """Receive events over HTTP, keep them, and keep the catalog equal to what they say.

    Point any OpenLineage producer at it: OPENLINEAGE_URL=http://HOST:PORT. The lineage page is at the same address. Where
    to deliver is configured (`sink` in the translator's section); without a sink everything stays in the store.

    \b
    Examples:
      openlineage-bridge serve --store bridge.db
      openlineage-bridge serve --config openlineage-bridge.yml --port 8090
    """
    from openlineage_bridge.server.app import create_app
    from openlineage_bridge.server.logs import configure
    from openlineage_bridge.server.run import Server, bind
    from openlineage_bridge.service import Service
    from openlineage_bridge.store.status import Queries

    config = load_config(
        config_file, store=store, server__host=host, server__port=port, server__insecure=insecure
    )
    translator, sink = translator_of(config), sink_of(config)
    configure()
    listener = bind(config.server)
    service = Service(
        config.store, translator, sink, config.lineage_window, retention=config.retention, space=config.space
    )
    try:
        received = Server(create_app(service, Queries(config.store), config, service), listener).listen()
    finally:
        service.close()
    click.get_current_context().exit(130 if received == signal.SIGINT else 0)
