"""Read recipes: what a TOML file may say (config), and how it is read and checked (file)."""

from .file import Recipe, RecipeError, check, find, from_dict, load

__all__ = ["Recipe", "RecipeError", "check", "find", "from_dict", "load"]
