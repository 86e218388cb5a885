"""YAML read strictly into pydantic models, single values changed with `--set a.b=value`, and where files live.

Plain YAML readers forgive too much for a benchmark: a key written twice, a key misspelt, and `1e-4`, which
YAML 1.1 reads as text. All three are refused or cured here.
"""

import os
import re
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import platformdirs
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from vitret.core.errors import DataError, UserError, did_you_mean, said, shortened
from vitret.core.store import read_bytes

try:
    from yaml import CSafeLoader as _Safe
except ImportError:  # a PyYAML that was built without libyaml
    from yaml import SafeLoader as _Safe  # type: ignore[assignment]


class Strict(BaseModel):
    """Base of everything read from YAML or JSON: frozen, unknown keys refused, defaults checked too."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


Model = TypeVar("Model", bound=BaseModel)


class _Loader(_Safe):
    """Safe YAML with numbers as in YAML 1.2 and every key written once; parsed by libyaml where PyYAML has it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="unhashable key", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key}' is written twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 wants a dot before the exponent and would read 1e-4 as text.
_FLOAT = re.compile(
    r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


# More values than any recipe has: a file of a few lines can name one list many times and stand for millions.
MOST_VALUES, DEEPEST = 100_000, 32


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text; `where` names it in errors.

    >>> parse_yaml("lr: 1e-4", "an example")
    {'lr': 0.0001}
    """
    try:
        return _constructed(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{where}{line}: {shortened(str(error.problem))}.") from error
    # yaml makes dates, numbers and truth values of texts without looking whether they are some.
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
        raise UserError(f"{where}: not readable as YAML ({said(error)}).") from error


def _constructed(text: str) -> Any:
    _require_shallow(text)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _require_small(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _require_shallow(text: str) -> None:
    """Raise `ValueError` for a text that nests too deep, before nodes are made: libyaml makes them by recursion."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ValueError(f"lists inside lists, more than {DEEPEST} deep")


def _require_small(top: yaml.Node) -> None:
    """Raise `ValueError` for a text that nests too deep or stands for too many values, each alias written out."""
    level, seen = [top], 0
    for _ in range(DEEPEST):
        parts: list[yaml.Node] = []
        for node in level:
            if isinstance(node, yaml.MappingNode):
                parts += [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                parts += node.value
            if len(parts) > MOST_VALUES:
                break
        seen, level = seen + len(parts), parts
        if seen > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES:,} values")
        if not level:
            return
    raise ValueError(f"lists inside lists, more than {DEEPEST} deep")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose top is a mapping."""
    try:
        value = parse_yaml(_text(path), str(path))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}).") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a mapping of keys to values, found {type(value).__name__}.")
    return value


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode()
    except DataError as error:  # a configuration, not data, is what the command was given wrongly
        raise UserError(str(error)) from error


# As many as fit on a screen.
MOST_PROBLEMS = 8


def validate(model: type[Model], data: Mapping[str, Any], where: str, *, advice: str = "") -> Model:
    """`data` as a `model`; the problems are named at once, each with its place, and then the `advice`."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = error.errors()
        problems = [_problem(model, item) for item in found[:MOST_PROBLEMS]]
        more = f" And {len(found) - MOST_PROBLEMS} more problems." if len(found) > MOST_PROBLEMS else ""
        raise UserError(f"{where}: {' '.join(problems)}{more} {advice}".rstrip()) from error


def _problem(model: type[BaseModel], item: Any) -> str:
    place = shortened(".".join(str(part) for part in item["loc"]))
    if item["type"] == "extra_forbidden":
        return (
            f"unknown key '{place}'. {did_you_mean(str(item['loc'][-1]), _keys_at(model, item['loc'][:-1]))}"
        )
    message = shortened(str(item["msg"]).removeprefix("Value error, "), 400)
    return f"{place}: {message}." if place else f"{message}."


def _keys_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys allowed at a place, followed through nested models as far as the annotations say."""
    for part in loc:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        nested = _models_in(field.annotation) if field else []
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _models_in(inner)]


def assign(data: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """A copy of `data` with values changed by `a.b=value`; the value is read as YAML, the path must exist or be a leaf.

    >>> assign({"optimiser": {"lr": 0.1}}, ["optimiser.lr=1e-4"])
    {'optimiser': {'lr': 0.0001}}
    """
    changed = _copied(data)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise UserError(f"--set {assignment}: expected KEY=VALUE, for example --set optimiser.lr=1e-4.")
        *parents, leaf = path.split(".")
        place: Any = changed
        for key in parents:
            place = _enter(place, key, path)
        value = parse_yaml(text, f"--set {path}")
        if isinstance(place, list):
            place[_index(place, leaf, path)] = value
        else:
            place[leaf] = value
    assert isinstance(changed, dict)
    return changed


def _enter(place: Any, key: str, path: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, key, path)]
    if not isinstance(place.get(key), dict | list):
        containers = [k for k, v in place.items() if isinstance(v, dict | list)]
        raise UserError(f"--set {path}: there is nothing below '{key}'. {did_you_mean(key, containers)}")
    return place[key]


def _index(place: list[Any], key: str, path: str) -> int:
    if not key.isdecimal() or int(key) >= len(place):
        raise UserError(f"--set {path}: '{key}' is not a position in a list of {len(place)}.")
    return int(key)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner) for inner in value]
    return value


@dataclass(frozen=True, kw_only=True)
class Location:
    """A folder vitret uses, and what decided where it is."""

    name: str
    path: Path
    source: str
    purpose: str


# name → (environment variable, purpose). The flag of the same name wins over the variable, that over the default.
_LOCATIONS = {
    "home": ("VITRET_HOME", "runs, descriptors, locks"),
    "data": ("VITRET_DATA", "prepared datasets"),
    "results": ("VITRET_RESULTS", "one JSON per measured row, and the leaderboard"),
    "weights": ("VITRET_WEIGHTS", "pre-trained weights by architecture name, looked up before any network"),
    "configs": ("VITRET_CONFIGS", "systems, tracks, published recipes, ablation studies"),
    "suites": ("VITRET_SUITES", "how things are measured"),
}


def location(name: str, flag: Path | None = None) -> Location:
    """Where a kind of file lives: flag, then environment, then default. Creates nothing."""
    variable, purpose = _LOCATIONS[name]
    if flag is not None:
        return Location(name=name, path=flag, source=f"--{name}", purpose=purpose)
    if os.environ.get(variable):
        return Location(name=name, path=Path(os.environ[variable]), source=variable, purpose=purpose)
    return Location(name=name, path=_default(name), source="default", purpose=purpose)


def locations() -> list[Location]:
    """Every location, as `vitret env` prints them."""
    return [location(name) for name in _LOCATIONS]


def _default(name: str) -> Path:
    if name == "home":
        return Path(platformdirs.user_data_dir("vitret"))
    if name in ("data", "weights"):
        return location("home").path / name
    if name == "results":
        return Path("results")
    if name == "configs":
        return _shipped("configs")
    own = location("configs").path / "suites"
    return own if own.is_dir() else _shipped("configs/suites")


def _shipped(folder: str) -> Path:
    """A folder of the source tree, or of an installed vitret."""
    beside_source = Path(__file__).resolve().parents[2] / folder
    return beside_source if beside_source.is_dir() else Path(sys.prefix) / "share" / "vitret" / folder


def named_file(kind: str, folder: Path, name: str) -> Path:
    """The YAML file called `name` in a folder, see `yaml_files`; or `name` itself when it is a path to one."""
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"{path}: no such file.")
        return path
    found = yaml_files(folder)
    if name in found:
        return found[name]
    if not folder.is_dir():
        raise DataError(
            f"{folder}: the folder of {kind}s is missing. `vitret env` shows where it is expected."
        )
    raise UserError(f"There is no {kind} called '{name}'. {did_you_mean(name, found)}")


def file_names(folder: Path) -> list[str]:
    """Names of the YAML files in a folder, see `yaml_files`."""
    return list(yaml_files(folder))


def yaml_files(folder: Path) -> dict[str, Path]:
    """Name → file of the YAML files in a folder and in its direct subfolders, sorted by name.

    The name is the file's stem, wherever the file is. Raises `UserError` for two files of one name.
    """
    paths = [*folder.glob("*.yaml"), *folder.glob("*/*.yaml"), *_former_suites(folder)]
    found: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: (path.stem, path)):
        if path.stem in found:
            raise UserError(
                f"{found[path.stem]} and {path} have the same name. Rename or remove one of them."
            )
        found[path.stem] = path
    return found


def _former_suites(folder: Path) -> list[Path]:
    """For `configs/suites`, a user's own suites in `benchmarks/suites` beside it, where suites were until 0.1."""
    if folder.parts[-2:] != ("configs", "suites"):
        return []
    return list((folder.parent.parent / "benchmarks" / "suites").glob("*.yaml"))
