"""From a name to a prepared set: an official or drawn set by its part in `datasets/`, otherwise a person's own data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vitret.core import plugins
from vitret.core.errors import DataError, UserError, did_you_mean
from vitret.core.store import file_sha256
from vitret.data.card import Card
from vitret.data.fetch.download import Progress
from vitret.data.layout import AlreadyThereError, LayoutWriter, exists, load_manifest
from vitret.data.own.detect import read_own
from vitret.data.prepare.official import prepare_official
from vitret.data.prepare.plan import check_cut, choose
from vitret.data.prepare.same_request import settled, whence
from vitret.data.prepare.sources import Choices, is_tree

Report = Callable[[str], None]


def prepare(
    name: str,
    *,
    data_root: Path,
    source: Path | None = None,
    accept_terms: bool = False,
    report: Report = lambda _: None,
    options: Mapping[str, Any] | None = None,
    choices: Choices | None = None,
    hold_out: float = 0.0,
    replace: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Prepare a set and return its folder; what is already there, from the same source, is left as it is, and said.

    A subset of shards grows to what is asked for. A set whose folder exists is replaced only with `replace`, and then
    only when its successor is whole. `options` are those of the set's part, `choices` those of fetching; `progress`
    follows the bytes of every file that is fetched or unpacked.
    Broken images that nobody asks about are left out; they stand in the manifest under "failed".
    """
    choices = choices or Choices()
    if name in plugins.names("datasets"):
        if hold_out:
            raise UserError(f"--hold-out is for your own class folders; {name} says itself what evaluates.")
        return _official(
            name,
            data_root=data_root,
            source=source,
            accept_terms=accept_terms,
            report=report,
            options=options or {},
            choices=choices,
            replace=replace,
            workers=workers,
            progress=progress,
        )
    if options:
        raise UserError(f"'{name}' is no known set, so it has no options.{_near(name)}")
    if choices.shards is not None:
        raise UserError(f"--shards is for known sets in many archives; '{name}' is none.{_near(name)}")
    if source is None:
        if exists(data_root, name):
            return _there(name, data_root, report)
        raise DataError(
            f"'{name}' is no known set.{_near(name)} `vitret list datasets` shows all. For your own images: "
            f"vitret prepare {name} --from DIR"
        )
    own = read_own(source, name, hold_out=hold_out)
    for note in (f"{source}: {own.kind}, {len(own.paths)} images", *own.notes):
        report(note)
    if exists(data_root, name) and not replace:
        return _same_source(name, data_root, own.source, source, report)
    try:
        with LayoutWriter(data_root, name, replace=replace, workers=workers, report=report) as writer:
            own.into(writer)
            return writer.finish()
    except AlreadyThereError:
        # Another process was faster.
        return _same_source(name, data_root, own.source, source, report)


def _there(name: str, data_root: Path, report: Report) -> Path:
    folder = data_root / name
    report(f"{name}: is already prepared, {whence(folder)}.")
    return folder


def _near(name: str) -> str:
    """The known names that are like it, if any is; all of them would bury the rest of the message."""
    hint = did_you_mean(name, plugins.names("datasets"))
    return f" {hint}" if hint.startswith("Did you mean") else ""


def _same_source(name: str, data_root: Path, found: Mapping[str, Any], source: Path, report: Report) -> Path:
    if load_manifest(data_root, name).get("source") == found:
        return _there(name, data_root, report)
    raise UserError(
        f"'{name}' is already prepared from other data than {source} now holds. Give another name, or build it anew: "
        f"vitret prepare {name} --from {source} --replace"
    )


def _official(
    name: str,
    *,
    data_root: Path,
    source: Path | None,
    accept_terms: bool,
    report: Report,
    options: Mapping[str, Any],
    choices: Choices,
    replace: bool,
    workers: int | None,
    progress: Progress | None,
) -> Path:
    module = plugins.load("datasets", name)
    card: Card = module.CARD
    if source is not None and not card.tree:
        raise UserError(f"'{name}' is drawn, not read: leave --from out, or give your own data another name.")
    check_cut(card, shards=choices.shards, max_disk=choices.max_disk)
    for key, default in plugins.options("datasets", name).items():
        if default is inspect.Parameter.empty and key not in options:
            raise UserError(f"{name} needs --set {key}=…: {inspect.getdoc(module.build)}")
    convert = plugins.build("datasets", name, **options)
    resolved = plugins.resolve("datasets", name, options)
    stated: dict[str, Any] = {"kind": "part", "options": _stated(module.build, resolved)}
    if choices.shards is not None:
        stated["shards"] = _chosen(card, source, choices.shards, packed=choices.packed)
    if choices.packed:
        stated["packed"] = True
    grow = False
    if exists(data_root, name) and not replace:
        manifest = load_manifest(data_root, name)
        grow = not settled(data_root / name, manifest, card, source=source, stated=stated)
        if not grow:
            return _there(name, data_root, report)
        report(f"{name}: is there as {whence(data_root / name)}; going on")
    try:
        if card.tree:
            return prepare_official(
                card,
                convert,
                data_root=data_root,
                source=source,
                accept_terms=accept_terms,
                choices=choices,
                stated=stated,
                wanted=getattr(module, "wanted", None),
                replace=replace,
                grow=grow,
                workers=workers,
                report=report,
                progress=progress,
            )
        with LayoutWriter(data_root, name, replace=replace, workers=workers, report=report) as writer:
            writer.card(card.model_dump(mode="json"))
            convert(None, writer)
            writer.source(stated)
            return writer.finish()
    except AlreadyThereError:
        # Another process was faster, perhaps with another request.
        settled(data_root / name, load_manifest(data_root, name), card, source=source, stated=stated)
        return _there(name, data_root, report)


def _chosen(card: Card, source: Path | None, shards: str, *, packed: bool) -> list[int]:
    """The shard numbers asked for, of a set that has some."""
    if source is not None and is_tree(source, card, packed=packed):
        raise UserError(
            f"--shards {shards} is for what is fetched; of the tree in {source} all is taken. Leave one out."
        )
    return choose(card.shards[0], shards)


def _stated(build: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that change the set, as its manifest names them: a file by its bytes, wherever it lies."""
    stated = {}
    for key, parameter in inspect.signature(build).parameters.items():
        value = options[key]
        if parameter.annotation in (Path, "Path"):
            if not Path(value).is_file():
                raise UserError(f"--{key} {value}: there is no such file.")
            value = {"sha256": file_sha256(Path(value))}
        # How many processes work changes no byte.
        if key != "workers":
            stated[key] = value
    return stated
