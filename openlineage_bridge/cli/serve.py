"""``openlineage-bridge serve``: the HTTP receiver, the pipeline, delivery, the page and the metrics in one process."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from openlineage_bridge.cli.options import (
    config_option,
    load_config,
    service_of,
    store_option,
)

FILE = click.Path(path_type=Path)


@click.command("serve")
@store_option
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="TCP port; 0 takes any free one.  [default: 5000]")
@click.option(
    "--insecure", is_flag=True, default=None, help="Accept events from other machines without a token."
)
@click.option("--tls-certificate", metavar="FILE", type=FILE, help="Speak HTTPS with this certificate (PEM).")
@click.option("--tls-key", metavar="FILE", type=FILE, help="The certificate's key (PEM).")
@click.option(
    "--follow",
    metavar="PATH",
    multiple=True,
    type=FILE,
    help="Also take the events of this file, or folder of files, as they are written; may be repeated.",
)
@click.option(
    "--strict", is_flag=True, help="Do not start on a damaged store, instead of saving what can be read."
)
@config_option
def command(
    *,
    store: Path | None,
    host: str | None,
    port: int | None,
    insecure: bool | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    follow: tuple[Path, ...],
    config_file: Path | None,
    strict: bool,
) -> None:
    """Receive events over HTTP, keep them, and keep the catalog equal to what they say.

    Point any OpenLineage producer at it: OPENLINEAGE_URL=http://HOST:PORT. The lineage page is at the same address. Where
    to deliver is configured (`sink` in the translator's section); without a sink everything stays in the store.

    \b
    Examples:
      openlineage-bridge serve --store bridge.db
      openlineage-bridge serve --config openlineage-bridge.yml --port 8090
      openlineage-bridge serve --follow /var/log/spark/lineage.jsonl --follow /data/events/

    Exit code 1 when the store turns out to be damaged while it runs: start it again, and it is mended.
    """
    from openlineage_bridge.receivers.follow import Follower
    from openlineage_bridge.server.app import create_app
    from openlineage_bridge.server.logs import configure
    from openlineage_bridge.server.run import Server, bind
    from openlineage_bridge.server.tls import context_of
    from openlineage_bridge.store.status import Queries

    config = load_config(
        config_file,
        store=store,
        follow=[str(path) for path in follow] or None,
        server__host=host,
        server__port=port,
        server__insecure=insecure,
        server__tls__certificate=tls_certificate,
        server__tls__key=tls_key,
    )
    start = service_of(config, strict=strict)
    configure()
    tls = context_of(config.server.tls) if config.server.tls else None
    listener = bind(config.server)
    service = start()
    try:
        app = create_app(service, Queries(config.store), config, service)
        server = Server(app, listener, tls)
        service.when_damaged(server.stop)
        with Follower(service, config.follow, app.state.metrics.count_followed):
            received = server.listen()
    finally:
        service.close()
    click.get_current_context().exit(1 if service.damaged else 130 if received == signal.SIGINT else 0)
