"""From a card to a prepared set: terms, fetch, unpack, convert, count; or an existing tree, checked and linked.

Everything on the way lies in `$VITRET_DATA/.work/<set>/` and is removed when the set is whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from vitret.core.errors import DataError, UserError
from vitret.core.store import require_space
from vitret.data.card import Card
from vitret.data.fetch.download import Progress
from vitret.data.layout.write import LayoutWriter
from vitret.data.prepare.local_shards import Held, held_shards
from vitret.data.prepare.plan import make_plan
from vitret.data.prepare.shared_archives import keep_records, sisters
from vitret.data.prepare.sources import (
    Choices,
    Obtained,
    Report,
    adopt,
    is_tree,
    obtain,
    take_held,
    used_bytes,
)
from vitret.data.prepare.terms import agree

# The version of an image set that nobody could check against what was published.
ADOPTED = "adopted, not confirmed"


class Conversion(Protocol):
    """What a dataset part's `build` returns: reads the official tree and hands everything to the writer."""

    def __call__(self, source: Path, writer: LayoutWriter, /) -> None: ...


def prepare_official(
    card: Card,
    convert: Conversion,
    *,
    data_root: Path,
    source: Path | None,
    accept_terms: bool,
    choices: Choices,
    stated: Mapping[str, Any],
    wanted: Callable[[Path], Container[str]] | None = None,
    replace: bool = False,
    grow: bool = False,
    workers: int | None = None,
    report: Report = lambda _: None,
    progress: Progress | None = None,
) -> Path:
    """Prepare the set of a card and return its folder.

    With a `source` its tree (or its archives, where somebody put them there by hand) is checked and linked; without one
    everything is fetched. The terms are shown, and are to be accepted first unless the files are a person's own copy of
    an open set. `wanted` names, from the fetched lists, the images worth unpacking. `stated` is written into the
    manifest: by it the same request is known again. `grow` replaces a subset of shards, and nothing else, by what can
    be had now.

    Raises DataError for a set that only a person can get, for terms not accepted, for a verified count that is missed.
    """
    if source is not None and choices.max_disk is not None:
        raise UserError("--max-disk bounds what is fetched: with --from choose by --shards, or leave it out.")
    hard = source is None or not is_tree(source, card, packed=choices.packed)
    held = held_shards(card, source, packed=choices.packed) if source is not None else []
    if choices.packed:
        _check_packed(card, source, held)
    if source is None:
        if card.gated != "none":
            raise DataError(f"{card.name} cannot be fetched here ({card.gated}). {card.by_hand}")
        plan = make_plan(
            card,
            data_root,
            shards=choices.shards,
            max_disk=choices.max_disk,
            packed=choices.packed,
            keep=choices.keep_downloads,
        )
    # Whoever has the files of an open set met its terms where they came from; a gated set has no other door than this.
    asked = source is None or card.gated != "none"
    agree(data_root, card, accept=accept_terms, ask=asked, report=report)
    work = data_root / ".work" / f"{card.name}{'.packed' if choices.packed else ''}"
    with LayoutWriter(
        data_root, card.name, replace=replace, grow=grow, workers=workers, report=report, hard=hard
    ) as writer:
        if source is not None and any(held):
            obtained = take_held(card, source, held, work, choices, wanted=wanted, report=report)
        elif source is not None:
            obtained = adopt(card, source, work, report=report, progress=progress)
        else:
            require_space(data_root, max(0, plan.disk_needed - used_bytes(work)))
            near = sisters(card, data_root, packed=choices.packed)
            obtained = obtain(card, work, choices, near=near, wanted=wanted, report=report, progress=progress)
        if grow and obtained.shards and obtained.shards == writer.replaced.get("shards"):
            report(f"{card.name}: {obtained.subset}, as before.")
            return writer.final
        convert(obtained.tree, writer)
        subset = obtained.subset or check_counts(
            card, writer.counts(), lacking=writer.lacking, adopted=obtained.adopted, report=report
        )
        writer.card(_facts(card, obtained, subset))
        writer.source({**stated, "tree": obtained.tree == source, "files": dict(obtained.hashes)})
        folder = writer.finish()
    keep_records(work, card, confirmed=source is None and not obtained.adopted)
    if subset:
        report(f"{card.name}: {subset}. Results made on it say so.")
    _clean(work, keep_tree=bool(obtained.shards), keep_downloads=choices.keep_downloads)
    return folder


def check_counts(
    card: Card, counts: Mapping[str, int], *, lacking: Sequence[str] = (), adopted: bool, report: Report
) -> str:
    """Compare counts with the card: a verified one that is missed raises `DataError`, others are reported.

    `lacking` are words for what a list of the set names and is not there. A sharded set that somebody has in part is a
    subset: that is said in words and returned, empty for a whole set.
    """
    in_part = adopted and bool(card.shards)
    missed, fewer = ([], [*lacking]) if in_part else ([*lacking], [])
    for key, expected in card.expected.items():
        found = counts.get(key, 0)
        if found == expected.value:
            continue
        words = f"{found:,} {key}, {expected.value:,} expected"
        if not expected.verified:
            report(f"{card.name}: {words} (unconfirmed{': ' + expected.source if expected.source else ''})")
        elif in_part and found < expected.value:
            fewer.append(words)
        else:
            missed.append(words)
    if missed:
        raise DataError(
            f"{card.name}: {'; '.join(missed)}. Is the download or the copy complete, and of this very set?"
        )
    return f"a subset, {'; '.join(fewer)}" if fewer else ""


def _check_packed(card: Card, source: Path | None, held: Sequence[Sequence[Held]]) -> None:
    if source is not None and not any(held):
        raise UserError(
            f"--packed: there is no official tar of {card.name} in {source}, and what is unpacked stays as it is. "
            "Leave --packed out."
        )
    if not card.shards or not all(series.name.endswith(".tar") for series in card.shards):
        kind = "are compressed" if card.shards else "are not a series of tars"
        raise UserError(
            f"--packed: the archives of {card.name} {kind}, so an image cannot be read where it lies. Leave it out."
        )


def _facts(card: Card, obtained: Obtained, subset: str) -> dict[str, Any]:
    """What card.json says: the card, and which part and version of the set this is; no times and no places."""
    version = ADOPTED if obtained.adopted else card.image_set_version
    return {
        **card.model_dump(mode="json"),
        "image_set_version": version,
        "shards": dict(obtained.shards) or None,
        "subset": subset,
        "card_digest": card.digest,
    }


def _clean(work: Path, *, keep_tree: bool, keep_downloads: bool) -> None:
    """Remove the work folder, but not the records of first use.

    The tree of a subset of shards stays, so that more shards can join it: its files are those of the set, under a
    second name, and take no room of their own.
    """
    if not keep_tree:
        for name in ("tree", "state"):
            shutil.rmtree(work / name, ignore_errors=True)
    if keep_downloads or not (work / "downloads").is_dir():
        return
    for path in (work / "downloads").iterdir():
        if path.is_file() and not path.name.endswith(".fetched.json"):
            path.unlink()
