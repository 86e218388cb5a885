"""A folder is a registry: a part is a file with one public `build`, found by name and imported when named.

The keyword-only parameters of `build` are the part's options and hold their only defaults. Parts of others
come from entry points (group `vitret.heads`, …) or from a folder given with `--include DIR`, which holds
`heads/my_head.py` and the like; the folder travels in `VITRET_INCLUDE` so that worker processes see it too.
"""

import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from vitret.core.config import validate
from vitret.core.errors import UserError, did_you_mean
from vitret.core.variables import variable

FAMILIES = {
    "backbones": "vitret.models.backbones",
    "heads": "vitret.models.heads",
    "losses": "vitret.learn.losses",
    "samplers": "vitret.learn.samplers",
    "metrics": "vitret.measure.metrics",
    "rerankers": "vitret.measure.rerankers",
    "datasets": "vitret.data.datasets",
}
# One part of a family, where a plural without its s is no word.
_SINGULAR = {"losses": "loss"}


def included_folders() -> list[Path]:
    """Folders named by `VITRET_INCLUDE`, separated as in `PATH`."""
    return [Path(part) for part in os.environ.get("VITRET_INCLUDE", "").split(os.pathsep) if part]


def _family(family: str) -> str:
    if family not in FAMILIES:
        raise UserError(f"There is no family of parts called '{family}'. {did_you_mean(family, FAMILIES)}")
    return FAMILIES[family]


def _included(family: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in included_folders():
        if not folder.is_dir():
            raise UserError(f"--include {folder}: there is no such folder.")
        for path in sorted((folder / family).glob("[!_]*.py")):
            found[_spelt(family, path.stem)] = path
    return found


def one(family: str) -> str:
    """What a single part of a family is called.

    >>> one("losses"), one("heads")
    ('loss', 'head')
    """
    return _SINGULAR.get(family, family.removesuffix("s"))


def _spelt(family: str, module: str) -> str:
    # Data sets are written with hyphens everywhere ("gldv2-clean"); a module name cannot be.
    return module.replace("_", "-") if family == "datasets" else module


@cache
def _installed(family: str) -> tuple[EntryPoint, ...]:
    """Parts of installed packages; kept, because each look reads the metadata of every package there is."""
    return tuple(entry_points(group=f"vitret.{family}"))


def names(family: str) -> list[str]:
    """Every known name of a family, sorted; imports no part.

    >>> "gem" in names("heads")
    True
    """
    return sorted({*installed_names(family), *_included(family)})


def installed_names(family: str) -> set[str]:
    """The names of vitret's own parts and of those that installed packages offer."""
    return {*_own(family), *(point.name for point in _installed(family))}


@cache
def _own(family: str) -> tuple[str, ...]:
    """Vitret's own parts; kept, because each look lists a folder."""
    package = importlib.import_module(_family(family))
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(_spelt(family, name) for name in found if not name.startswith("_"))


@contextmanager
def included_file(family: str, file: Path) -> Iterator[str]:
    """Make one file a part of a family while the block runs, wherever the file is; gives the part's name."""
    before = os.environ.get("VITRET_INCLUDE")
    with tempfile.TemporaryDirectory(prefix="vitret-") as folder:
        link = Path(folder) / family / file.name
        link.parent.mkdir()
        link.symlink_to(file.resolve())
        # The last one wins.
        with variable("VITRET_INCLUDE", os.pathsep.join([*([before] if before else []), folder])):
            yield _spelt(family, file.stem)


def load(family: str, name: str) -> ModuleType:
    """The module of one part. An included folder wins over an entry point, and that over vitret's own."""
    package = _family(family)
    included = _included(family)
    if name in included:
        return _from_file(f"vitret_include.{family}.{included[name].stem}", included[name])
    for point in _installed(family):
        if point.name == name:
            return importlib.import_module(point.module)
    if name not in names(family):
        raise UserError(f"There is no {one(family)} called '{name}'. {did_you_mean(name, names(family))}")
    return importlib.import_module(f"{package}.{name.replace('-', '_')}")


def _from_file(module_name: str, path: Path) -> ModuleType:
    known = sys.modules.get(module_name)
    if known is not None and known.__file__ == str(path):
        return known
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    whole = False
    try:
        spec.loader.exec_module(module)
        whole = True
    finally:
        if not whole:  # the next attempt must not find half a module
            del sys.modules[module_name]
    return module


def options(family: str, name: str) -> dict[str, Any]:
    """The options of a part with their defaults, read from the signature of its `build`.

    An option without a default is given as `inspect.Parameter.empty`.
    """
    module = load(family, name)
    if not hasattr(module, "build"):
        raise UserError(f"{module.__file__}: a part needs one public function called 'build'.")
    parameters = inspect.signature(module.build).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def options_model(family: str, name: str) -> type[BaseModel]:
    """The options of a part as a model: types by the annotations of its `build`, where there are some."""
    return _options_model(load(family, name).build)


@cache
def _options_model(build: Callable[..., Any]) -> type[BaseModel]:
    try:
        hints = inspect.get_annotations(build, eval_str=True)
    except NameError:  # a user's annotation that only a type checker can read
        hints = {}
    fields: dict[str, Any] = {
        option.name: (
            hints.get(option.name, Any),
            ... if option.default is inspect.Parameter.empty else Field(default=option.default),
        )
        for option in inspect.signature(build).parameters.values()
        if option.kind is inspect.Parameter.KEYWORD_ONLY
    }
    return create_model("Options", __config__=ConfigDict(arbitrary_types_allowed=True), **fields)


def resolve(family: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given options with every default written out; refuses what the part does not know or cannot take.

    The options that a part's module names in `UNWRITTEN` came after results were committed: their defaults stay out,
    so that the digests of those results hold.
    """
    known = options(family, name)
    for key in given:
        if key not in known:
            raise UserError(f"{one(family)} '{name}' has no option '{key}'. {did_you_mean(key, known)}")
    resolved = {**known, **given}
    missing = [key for key, value in resolved.items() if value is inspect.Parameter.empty]
    if missing:
        raise UserError(f"{one(family)} '{name}' needs a value for: {', '.join(missing)}.")
    if given:
        validate(options_model(family, name), given, f"{one(family)} '{name}'")
    later = getattr(load(family, name), "UNWRITTEN", ())
    return {key: value for key, value in resolved.items() if key not in later or value != known[key]}


def build(family: str, name: str, *args: Any, **given: Any) -> Any:
    """Call a part's `build` with positional facts (widths, classes, …) and checked options."""
    return load(family, name).build(*args, **resolve(family, name, given))
