"""From a name to a prepared set.

The way of a request from the command line (`cli/prepare`) to the written set:

1. `request.resolve` checks it once against the set's card, or reads the user's own folder (`own/`);
2. `run.prepare` (here): a set that is there and the same (`same_request`) is left as it is;
3. `official.prepare_official` shows the terms (`terms`) and asks for the disk space (`plan`);
4. `from_hosts.fetch_tree` (with `shared_archives`) or `from_folder.use_folder` (with `local_shards`) gives the official
   tree, below the work folder that `official_tree` describes;
5. the part in `datasets/` (or `own/record`) reads it and fills `layout.write.LayoutWriter`, which checks and renames.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitret.core.errors import DataError, UserError
from vitret.data.fetch.download import Progress
from vitret.data.layout import AlreadyThereError, LayoutWriter, exists, load_manifest
from vitret.data.own.record import OwnData
from vitret.data.prepare.official import prepare_official
from vitret.data.prepare.request import KnownSet, OwnSet, Request, near_names, resolve
from vitret.data.prepare.same_request import describe_source, is_complete


def prepare(request: Request) -> Path:
    """Check a request, carry it out, and return the folder of the prepared set: see `carry_out`."""
    return carry_out(resolve(request))


def carry_out(job: KnownSet | OwnSet, progress: Progress | None = None) -> Path:
    """Prepare a set and return its folder; what is already there, from the same source, is left as it is, and said.

    A subset of shards grows to what is asked for. A set whose folder exists is replaced only with `replace`, and then
    only when its successor is whole. `progress` follows the bytes of every file that is fetched or unpacked.
    Broken images that nobody asks about are left out; they stand in the manifest under "failed".
    """
    if isinstance(job, KnownSet):
        return _known(job, progress)
    if job.data is None:
        return _own_without_folder(job.request)
    return _own(job.request, job.data)


def _known(job: KnownSet, progress: Progress | None) -> Path:
    request = job.request
    grow = False
    if exists(request.data_root, request.name) and not request.replace:
        if is_complete(job):
            return _there(request)
        grow = True
        job.say(f"is prepared in part, {describe_source(request.data_root / request.name)}; continuing")
    try:
        return prepare_official(job, progress, grow=grow) if job.card.tree else _synthetic(job)
    except AlreadyThereError:
        # Another process was faster, perhaps with another request.
        is_complete(job)
        return _there(request)


def _synthetic(job: KnownSet) -> Path:
    """Generate a synthetic set straight into the layout."""
    with _writer(job.request) as writer:
        writer.card(job.card.model_dump(mode="json"))
        job.convert(None, writer)
        writer.source(job.origin)
        return writer.finish()


def _own_without_folder(request: Request) -> Path:
    name = request.name
    if exists(request.data_root, name):
        return _there(request)
    raise DataError(
        f"'{name}' is no known set.{near_names(name)} `vitret list datasets` shows all. For your own images: "
        f"vitret prepare {name} --from DIR"
    )


def _own(request: Request, data: OwnData) -> Path:
    """Link the user's own photographs and write their tables."""
    for note in (f"{request.source}: {data.kind}, {len(data.paths)} images", *data.notes):
        request.report(note)
    source = {**data.source, "without_copies": True} if request.without_copies else data.source
    if exists(request.data_root, request.name) and not request.replace:
        return _require_same(request, source)
    try:
        with _writer(request) as writer:
            data.write(writer)
            writer.source(source)
            writer.tell_apart(without_copies=request.without_copies)
            return writer.finish()
    except AlreadyThereError:
        # Another process was faster.
        return _require_same(request, source)


def _require_same(request: Request, source: Mapping[str, Any]) -> Path:
    """The set that is there, if it was made from this source; otherwise `UserError`."""
    name = request.name
    there = load_manifest(request.data_root, name).get("source")
    if there == source:
        return _there(request)
    again = f"vitret prepare {name} --from {request.source}"
    if request.hold_out is not None:
        again += f" --hold-out {request.hold_out:g}"
    if isinstance(there, Mapping) and there == {**source, "hold_out": there.get("hold_out")}:
        raise UserError(
            f"'{name}' is already prepared with --hold-out {there['hold_out']:g}, not {source['hold_out']:g}. Say "
            f"--hold-out {there['hold_out']:g}, or build it again: {again} --replace"
        )
    raise UserError(
        f"'{name}' is already prepared from other data than {request.source} now holds. Give another name, or build it "
        f"again: {again} --replace"
    )


def _there(request: Request) -> Path:
    folder = request.data_root / request.name
    request.report(f"{request.name}: is already prepared, {describe_source(folder)}.")
    return folder


def _writer(request: Request) -> LayoutWriter:
    return LayoutWriter(
        request.data_root,
        request.name,
        replace=request.replace,
        workers=request.workers,
        report=request.report,
    )
