"""Imports of ccxt only the venues that are used.

Its packages import all hundred when they are: 80 MB and a second, of which four venues need a quarter. So here they are
packages that import a venue when it is asked for; the venues' own modules are ccxt's, untouched.
"""

import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")
_BASES = {"ccxt": "ccxt.base.exchange"}
_BASE = "ccxt.async_support.base.exchange"


class _Package(ModuleType):
    """As ccxt's own: a venue's name is its class, and not the module that it is in."""

    def __setattr__(self, name: str, value: Any) -> None:
        is_venue = isinstance(value, ModuleType) and not hasattr(value, "__path__")
        super().__setattr__(name, getattr(value, name, value) if is_venue else value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or not name.isidentifier():
            raise AttributeError(name)
        module = f"{self.__name__}.{name}"
        if importlib.util.find_spec(module) is not None:
            importlib.import_module(module)
            return self.__dict__[name]
        base = importlib.import_module(_BASES.get(self.__name__, _BASE))
        return getattr(base if hasattr(base, name) else importlib.import_module("ccxt.base.errors"), name)


def venue_class(name: str) -> Any:
    """ccxt.pro's class of a venue; None where this ccxt has none. Takes its time: call it in a thread first."""
    if "ccxt" not in sys.modules:
        _prepare()
    found = getattr(importlib.import_module("ccxt.pro"), name, None)
    return found if isinstance(found, type) else None


@cache
def venue_names() -> frozenset[str]:
    """Every venue that this ccxt has, by its files: nothing is imported."""
    found = importlib.util.find_spec("ccxt")
    folders = (found.submodule_search_locations if found else None) or ()
    return frozenset(file.stem for folder in folders for file in Path(folder).joinpath("pro").glob("[a-z]*.py"))


def _prepare() -> None:
    found = importlib.util.find_spec("ccxt")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("ccxt is not installed", name="ccxt")
    for name in _PACKAGES:
        package = _Package(name)
        folder = Path(found.origin).parent.joinpath(*name.split(".")[1:])
        package.__path__ = [str(folder)]
        package.__spec__ = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)
