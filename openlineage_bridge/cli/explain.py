"""``openlineage-bridge explain``: which URN a dataset gets, by which rule, step by step."""

from __future__ import annotations

from pathlib import Path

import click

from openlineage_bridge.cli.options import config_option, format_option, load_config, translator_of


@click.command("explain")
@click.argument("namespace")
@click.argument("name")
@click.option(
    "--table",
    "tables",
    nargs=2,
    multiple=True,
    metavar="NAMESPACE NAME",
    help="A table that the dataset is the data of, as the symlinks facet names it.",
)
@config_option
@format_option("text", "json")
def command(
    namespace: str, name: str, tables: tuple[tuple[str, str], ...], config_file: Path | None, format_: str
) -> None:
    """Tell which URN the dataset NAMESPACE NAME gets, by which rule, step by step.

    \b
    Examples:
      openlineage-bridge explain snowflake://acme-eu ANALYTICS.PUBLIC.ORDERS
      openlineage-bridge explain s3://bucket path/to/data --format json
      openlineage-bridge explain s3://bucket sales/orders --table arn:aws:glue:eu-west-1:1 table/sales/orders
    """
    import attrs

    from openlineage_bridge.cli.output import print_json
    from openlineage_bridge.events import DatasetKey, Facets, encode
    from openlineage_bridge.translation import DatasetState

    translator = translator_of(load_config(config_file))
    symlinks = [{"namespace": where, "name": table, "type": "TABLE"} for where, table in tables]
    facets = Facets({"symlinks": encode({"identifiers": symlinks})} if symlinks else {})
    resolution = translator.resolve(DatasetState(DatasetKey(namespace, name), facets))
    if format_ == "json":
        print_json(attrs.asdict(resolution))
        return
    click.echo(resolution.urn or "no acceptable URN exists for this dataset")
    click.echo(f"  rule: {resolution.rule}")
    for number, step in enumerate(resolution.steps, 1):
        click.echo(f"  {number}. {step}")
