"""From a card to a prepared set: terms, official tree, conversion, counts.

Everything on the way lies in the set's work folder and is removed when the set is whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitret.core.errors import DataError
from vitret.core.store import require_space
from vitret.data.card import Card
from vitret.data.fetch.download import Progress
from vitret.data.layout.write import LayoutWriter
from vitret.data.prepare.from_folder import use_folder
from vitret.data.prepare.from_hosts import fetch_tree
from vitret.data.prepare.official_tree import OfficialTree
from vitret.data.prepare.plan import make_plan
from vitret.data.prepare.request import KnownSet, Report
from vitret.data.prepare.shared_archives import forget_contents, record_contents
from vitret.data.prepare.terms import agree

# The version of an image set that nobody could check against what was published.
ADOPTED = "adopted, not confirmed"


def prepare_official(job: KnownSet, progress: Progress | None = None, *, grow: bool = False) -> Path:
    """Prepare the set of a card and return its folder.

    The terms are shown, and are to be accepted first unless the files are the user's own copy of an open set. `grow`
    replaces a subset of shards, and nothing else, by what can be had now.

    Raises DataError for a set that only a user can get, for terms not accepted, for a verified count that is missed.
    """
    card, request, local = job.card, job.request, job.local
    needed = _disk_to_fetch(job) if local is None else 0
    # Who has the files of an open set met its terms where they came from; a gated set asks for them only here.
    ask = local is None or card.gated != "none"
    agree(request.data_root, card, accept=request.accept_terms, ask=ask, report=request.report)
    with LayoutWriter(
        request.data_root,
        card.name,
        replace=request.replace,
        grow=grow,
        workers=request.workers,
        report=request.report,
        hard=local is None or local.kind != "tree",
    ) as writer:
        if local is None:
            require_space(request.data_root, max(0, needed - job.work.used_bytes()))
            tree = fetch_tree(job, progress)
        else:
            tree = use_folder(job, local, progress)
        if grow and tree.shards and tree.shards == writer.replaced.get("shards"):
            job.say(f"{tree.subset}, as before.")
            return writer.final
        subset = _convert(job, tree, writer)
        folder = writer.finish()
    forget_contents(job.work)
    if local is None and not tree.adopted:
        record_contents(job.work, card)
    if subset:
        job.say(f"{subset}. Results made on it say so.")
    job.work.clean(keep_tree=bool(tree.shards), keep_downloads=request.choices.keep_downloads)
    return folder


def _disk_to_fetch(job: KnownSet) -> int:
    """Bytes of disk that fetching needs; a set that only a user can get raises `DataError`."""
    card = job.card
    if card.gated != "none":
        raise DataError(f"{card.name} cannot be fetched here ({card.gated}). {card.by_hand}")
    return make_plan(card, job.request.data_root, choices=job.request.choices).disk_needed


def _convert(job: KnownSet, tree: OfficialTree, writer: LayoutWriter) -> str:
    """Read the official tree into the writer; returns what part of the set that is, in words, empty for all of it."""
    job.convert(tree.path, writer)
    subset = tree.subset or check_counts(
        job.card,
        writer.counts(),
        missing=writer.missing,
        adopted=tree.adopted,
        report=job.request.report,
    )
    is_source = job.local is not None and tree.path == job.local.folder
    writer.card(_facts(job.card, tree, subset))
    writer.source({**job.origin, "tree": is_source, "files": dict(tree.hashes)})
    return subset


def check_counts(
    card: Card, counts: Mapping[str, int], *, missing: Sequence[str] = (), adopted: bool, report: Report
) -> str:
    """Compare counts with the card: a verified one that is missed raises `DataError`, others are reported.

    `missing` are words for what a list of the set names and is not there. A sharded set that the user has in part is a
    subset: that is said in words and returned, empty for a whole set.
    """
    in_part = adopted and bool(card.shards)
    missed, fewer = ([], [*missing]) if in_part else ([*missing], [])
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
            f"{card.name}: {'; '.join(missed)}. Is the download or the copy complete, and of this set?"
        )
    return f"a subset, {'; '.join(fewer)}" if fewer else ""


def _facts(card: Card, tree: OfficialTree, subset: str) -> dict[str, Any]:
    """What card.json says: the card, and which part and version of the set this is; no times and no places."""
    version = ADOPTED if tree.adopted else card.image_set_version
    return {
        **card.model_dump(mode="json"),
        "image_set_version": version,
        "shards": dict(tree.shards) or None,
        "subset": subset,
        "card_digest": card.digest,
    }
