"""`commonweight guideline`: the developer guideline."""

from __future__ import annotations

from node import console
from node.cli.base import (
    DEFAULT_CONFIG,
    ConfigOption,
    group,
    resolve,
)

guideline_app = group("guideline", "The developer guideline.")


@guideline_app.command("show")
def guideline_show(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """The guideline in force, as JSON (checked against the hash the contracts pin)."""
    from node.manifest import load_manifest
    from node.runtime import load_guideline

    settings = resolve(config, None)
    guideline = load_guideline(settings, load_manifest(settings.network.manifest))
    console.print_json({"hash": "0x" + guideline.hash.hex(), **guideline.documents})
