"""`vitret check`: which family a user's file belongs to, and its contract; tracks, systems and suites in YAML too."""

import ast
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vitret.compare.arena import read_suite
from vitret.compare.asked import Places
from vitret.core import plugins
from vitret.core.config import read_yaml
from vitret.core.contract import Raised, Stage, faults
from vitret.core.errors import UserError, VitretError, did_you_mean
from vitret.core.networks import is_published_network
from vitret.core.recipes import Track, read_system, read_track
from vitret.data.layout import list_sets

# The positional parameters of `build`, by which a file outside a family's folder is recognised.
_POSITIONAL = {("widths",): "heads", ("dim", "classes"): "losses", ("facts",): "samplers"}
_NAMED = {plugins.one(family): family for family in plugins.FAMILIES}
KINDS = (*_NAMED, "track", "system", "suite")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a file is, and the faults that were found in it, a sentence each."""

    what: str
    faults: Sequence[str]


def check_file(
    file: Path, *, kind: str = "", options: Mapping[str, Any] | None = None, source: Path | None = None
) -> Checked:
    """Run the contract of a user's part, which executes the file, or check a track, system or suite.

    `kind` is one of `KINDS` where the file does not say it; `options` are those of the part's `build`; `source` is a
    download for a dataset.

    Raises `UserError` for a file that is not there, or of which nobody can tell what it is.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such file.")
    if file.suffix in (".yaml", ".yml"):
        if options or source is not None:
            raise UserError(f"{file}: --set and --from belong to parts (.py).")
        return _check_yaml(file, kind or _kind_of_yaml(file))
    if file.suffix != ".py":
        raise UserError(f"{file}: neither a part (.py) nor a track, system or suite (.yaml).")
    with Raised(file) as raised:
        tree = ast.parse(file.read_bytes(), str(file))
    if raised.words:
        return Checked(what="a part", faults=[raised.words])
    if kind and kind not in _NAMED:
        raise UserError(f"{file}: a {kind} is YAML, not a Python file.")
    family = _NAMED[kind] if kind else _family_of(file, tree)
    if source is not None and family != "datasets":
        raise UserError(f"{file}: --from belongs to a dataset, and this is a {plugins.one(family)}.")
    return _check_part(file, family, options or {}, source)


def _check_part(file: Path, family: str, options: Mapping[str, Any], source: Path | None) -> Checked:
    what = f"{plugins.one(family)} '{file.stem}'"
    unusable = [*_bad_name(file, family)]
    if unusable:
        return Checked(what=what, faults=unusable)
    with plugins.included_file(family, file) as name, _room(family) as room:
        with Raised(file) as raised:
            plugins.load(family, name)
        if raised.words:
            return Checked(what=what, faults=[f"the file cannot be imported. {raised.words}"])
        # The options come first: without them nothing can be built.
        found = faults([[("options", lambda: _resolvable(family, name, options))]], file)
        found = found or faults(_stages(family, name, options, source=source, room=room), file)
    return Checked(what=what, faults=found)


def _room(family: str) -> AbstractContextManager[str]:
    """A folder to prepare a dataset in; others need none."""
    return TemporaryDirectory(prefix="vitret-") if family == "datasets" else nullcontext("")


def _stages(
    family: str, name: str, options: Mapping[str, Any], *, source: Path | None, room: str
) -> list[Stage]:
    """The contract of a family. Each wing is imported for its own: that of a metric needs no torch."""
    if family == "datasets":
        from vitret.data.prepare.contract import dataset_stages

        return dataset_stages(name, options, source, Path(room))
    if family in ("metrics", "rerankers"):
        from vitret.measure import contract as measured

        return (measured.metric_stages if family == "metrics" else measured.reranker_stages)(name, options)
    if family in ("losses", "samplers"):
        from vitret.learn import contract as learned

        return (learned.loss_stages if family == "losses" else learned.sampler_stages)(name, options)
    from vitret.models import contract as models

    return (models.head_stages if family == "heads" else models.backbone_stages)(name, options)


def _bad_name(file: Path, family: str) -> Iterator[str]:
    """Whether the file's name can be the name of a part: it can be written in a recipe, and is not taken."""
    if not file.stem.replace("-", "_").isidentifier() or file.stem.startswith("_"):
        yield f"'{file.stem}' cannot name a part: use letters, digits and '_', beginning with a letter."
    name = file.stem.replace("_", "-") if family == "datasets" else file.stem
    if name in plugins.installed_names(family):
        yield (
            f"the name is taken: there is a {plugins.one(family)} called '{name}' (`vitret list {family}`), and this "
            "file would stand in its place. Rename the file."
        )


def _resolvable(family: str, name: str, options: Mapping[str, Any]) -> Iterator[str]:
    """`build` is there, and all its options have values."""
    try:
        plugins.resolve(family, name, options)
    except UserError as error:
        needs = " Give a value to check it with: --set NAME=VALUE" if "needs a value" in str(error) else ""
        yield f"{error}{needs}"


def _family_of(file: Path, tree: ast.Module) -> str:
    """By the folder the file is in, else by what `build` takes; nothing is executed."""
    if file.resolve().parent.name in plugins.FAMILIES:
        return file.resolve().parent.name
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    if "CARD" in assigned:
        return "datasets"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "build":
            taken = tuple(a.arg for a in (*node.args.posonlyargs, *node.args.args))
            if taken in _POSITIONAL:
                return _POSITIONAL[taken]
    raise UserError(
        f"{file}: which kind of part is it? Put it in a folder of that name ({', '.join(plugins.FAMILIES)}), or "
        "say it: --kind head"
    )


def _kind_of_yaml(file: Path) -> str:
    keys = read_yaml(file).keys()
    for kind, key in {"track": "train_set", "system": "model", "suite": "sets"}.items():
        if key in keys:
            return kind
    raise UserError(
        f"{file}: a track has the key 'train_set', a system 'model', a suite 'sets'. This file has none of them."
    )


def _check_yaml(file: Path, kind: str) -> Checked:
    """A configuration, and whether everything that it names is there."""
    if kind not in ("track", "system", "suite"):
        raise UserError(f"{file}: a {kind} is a Python file, not YAML.")
    places = Places.default()
    check: Callable[[Path, Places], Iterator[str]] = {
        "track": _track,
        "system": _system,
        "suite": _suite,
    }[kind]
    stages: list[Stage] = [[(kind, functools.partial(check, file, places))]]
    return Checked(what=f"{kind} '{file.stem}'", faults=faults(stages, file))


def _track(file: Path, places: Places) -> Iterator[str]:
    track: Track = read_track(places.configs, str(file))
    yield from _known_sets([track.train_set], places)
    # Networks that others publish may stand among them; to look one up would fetch from it.
    for name in (name for name in track.systems if not is_published_network(name)):
        yield from _said(functools.partial(read_system, places.configs, name))
    yield from _said(functools.partial(read_suite, places.suites, track.suite))
    if 0 < track.images_seen < track.batch:
        yield f"images_seen is {track.images_seen}, less than one batch of {track.batch}."


def _system(file: Path, places: Places) -> Iterator[str]:
    from vitret.models.flops import shape_only

    shape_only(read_system(places.configs, str(file)).model)
    yield from ()


def _suite(file: Path, places: Places) -> Iterator[str]:
    from vitret.measure.evaluate import parse_metric

    suite = read_suite(places.suites, str(file))
    yield from _known_sets([*suite.sets, *([suite.distractors] if suite.distractors else [])], places)
    for metric in suite.metrics:
        yield from _said(functools.partial(parse_metric, metric))


def _known_sets(names: Sequence[str], places: Places) -> Iterator[str]:
    known = {*plugins.names("datasets"), *list_sets(places.data)}
    for name in names:
        if name not in known:
            yield (
                f"there is no dataset called '{name}'. {did_you_mean(name, known)} Your own photographs: "
                f"vitret prepare {name} --from FOLDER"
            )


def _said(read: Callable[[], object]) -> Iterator[str]:
    """What is wrong with a thing that a file names, in its reader's own words."""
    try:
        read()
    except VitretError as error:
        yield str(error)
