"""Keys of recipes in checkpoints and progress files that earlier versions wrote, under their current
names. No torch."""

from collections.abc import Mapping
from typing import Any

RENAMED = {"optimiser": "optimizer"}


def current_recipe(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A stored recipe with current keys."""
    return {RENAMED.get(key, key): value for key, value in stored.items()}


def with_current_recipe(stored: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A description or a plan, whose entry `key` is a recipe, with current keys of that recipe."""
    recipe = stored.get(key)
    return {**stored, key: current_recipe(recipe)} if isinstance(recipe, dict) else dict(stored)
