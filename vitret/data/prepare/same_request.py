"""Whether a set that is there is the one asked for: the same options, from the same place, all shards asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitret.core.errors import UserError
from vitret.core.store import read_json_object
from vitret.data.card import Card
from vitret.data.layout.read import load_manifest
from vitret.data.prepare.official import ADOPTED
from vitret.data.prepare.request import KnownSet


def is_complete(job: KnownSet) -> bool:
    """True when nothing is left to do, False when shards are still to come; another request raises `UserError`."""
    request, card = job.request, job.card
    folder = request.data_root / request.name
    manifest = load_manifest(request.data_root, request.name)
    source = f" --from {request.source}" if request.source is not None else ""
    again = f"Build it again: vitret prepare {card.name}{source} --replace"
    if _options(manifest["source"]) != _options(job.origin):
        raise UserError(f"'{card.name}' is already prepared with other options. {again}")
    if other := _other_place(job, folder, manifest):
        raise UserError(f"'{card.name}' is already prepared, {describe_source(folder)}, and {other}. {again}")
    if manifest["source"].get("tree"):
        return True
    asked = _shard_names(card, job.origin.get("shards"))
    have = manifest["shards"] or _shard_names(card, None)
    if more := sorted(name for into in asked for name in set(have.get(into, ())) - set(asked[into])):
        raise UserError(
            f"'{card.name}' is already prepared with other shards than --shards asks for; first: {more[0]}. {again}"
        )
    return all(set(have.get(into, ())) == set(names) for into, names in asked.items())


def describe_source(folder: Path) -> str:
    """Where a prepared set comes from, in words, and which part of the whole it is."""
    card = read_json_object(folder / "card.json")
    place = linked_to(folder / "images")
    words = "with files of its own"
    if place is not None:
        words = f"linked to {place if place.is_dir() else place.parent}"
    if card.get("image_set_version") == ADOPTED:
        words = f"adopted, {words}"
    return f"{words}; {card['subset']}" if card.get("subset") else words


def linked_to(images: Path) -> Path | None:
    """Where the first image, or the folder it is in, is linked to; None for a file of the set's own."""
    place: Path | None = images
    while place is not None and place.is_dir() and not place.is_symlink():
        place = next(place.iterdir(), None)
    return place.readlink() if place is not None and place.is_symlink() else None


def _options(source: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is compared apart, or follows from the rest."""
    return {key: value for key, value in source.items() if key not in ("files", "shards", "tree")}


def _other_place(job: KnownSet, folder: Path, manifest: Mapping[str, Any]) -> str:
    """How the place asked for is not the one the set comes from; empty where it is the same."""
    adopted = bool(manifest["source"].get("tree"))
    if job.local is None:
        # A set that only a user can get comes from nowhere else.
        return "the official files are asked for" if adopted and job.card.gated == "none" else ""
    source = job.local.folder
    if job.local.kind != "tree":
        return f"the archives in {source} are asked for" if adopted else ""
    if not adopted:
        return f"the tree in {source} is asked for"
    place = linked_to(folder / "images")
    if place is None or any(above.exists() and above.samefile(source) for above in (place, *place.parents)):
        return ""
    return f"the tree in {source} is asked for"


def _shard_names(card: Card, numbers: Sequence[int] | None) -> dict[str, list[str]]:
    """Names of shards by the folder of their series, as in the manifest; `numbers` are of the first series."""
    return {
        series.into: [
            series.file(n).name for n in (numbers if i == 0 and numbers is not None else series.numbers)
        ]
        for i, series in enumerate(card.shards)
    }
