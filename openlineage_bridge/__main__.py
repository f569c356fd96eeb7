"""`python -m openlineage_bridge` is the same as `openlineage-bridge`."""

from openlineage_bridge.cli import main

main()
