"""What the cards say, for users: the page docs/datasets.md and the rows of `vitret list datasets`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitret.core import plugins
from vitret.core.errors import DataError
from vitret.core.store import read_json
from vitret.data import layout
from vitret.data.card import Card, Count, File
from vitret.data.prepare.disk_budget import readable
from vitret.data.prepare.status import begun, unfinished
from vitret.pages.markdown import markdown_table

HEAD = """\
# Datasets

Made from the cards in `vitret/data/datasets/`: `vitret list datasets --format md > docs/datasets.md`. Edit those.

```
vitret prepare NAME --plan             what would be fetched, how much room it needs, the terms; touches nothing
vitret prepare NAME --accept-terms     fetch, verify, unpack, convert; resumes after any interruption
vitret prepare NAME --from DIR         adopt what you have: an unpacked tree is linked, published archives are verified
vitret prepare NAME --verify           open every image and hash it and every table again
```

Counts marked *expected, unconfirmed* are remembered or read in papers and never fail a preparation; all others must
be met. A hash is the publisher's, a third party's, or taken at first use: then a later fetch must give the same bytes.
`VITRET_MIRROR=https://host/` is asked for every file in place of its host, as `https://host/HOST/PATH`.
"""


def cards() -> dict[str, Card]:
    """Every known card by name, sorted."""
    return {name: plugins.load("datasets", name).CARD for name in plugins.names("datasets")}


def page() -> str:
    """The text of docs/datasets.md."""
    known = cards()
    rows = [
        [f"[`{name}`](#{name})", ", ".join(card.kind), _how(card), _short_licence(card)]
        for name, card in known.items()
    ]
    lines = [HEAD, markdown_table(["set", "for", "fetched", "licence"], rows)]
    for name, card in known.items():
        lines += ["", *_section(name, card)]
    return "\n".join(lines) + "\n"


def rows(data_root: Path) -> dict[str, dict[str, Any]]:
    """State, size, version, licence and overlaps of every known and every own set, by name."""
    known = cards()
    own = sorted({*layout.list_sets(data_root), *begun(data_root)} - known.keys())
    return {name: _row(data_root, name, known.get(name)) for name in [*known, *own]}


def _row(data_root: Path, name: str, card: Card | None) -> dict[str, Any]:
    ready = layout.exists(data_root, name)
    manifest, state = _prepared(data_root, name) if ready else ({}, unfinished(data_root, name, card))
    size = manifest.get("bytes") if ready else (card.needs_disk if card else None)
    return {
        "state": state or "not prepared",
        "for": list(card.kind) if card else [],
        "images": manifest.get("images"),
        "size": "" if not size else readable(size) if ready else f"needs {readable(size)}",
        "version": manifest.get("image_set_version", card.image_set_version if card else "1"),
        "licence": _short_licence(card) if card else "your own",
        "overlaps": sorted({overlap.set for overlap in card.overlaps}) if card else [],
        "gated": card.gated if card else "none",
    }


def _prepared(data_root: Path, name: str) -> tuple[dict[str, Any], str]:
    """A prepared set's manifest and its state in words; one that cannot be read says why and spoils no other row."""
    try:
        manifest = layout.load_manifest(data_root, name)
        facts = read_json(data_root / name / "card.json")
    except DataError as error:
        return {}, f"unreadable: {error}"
    return manifest, (facts.get("subset") if isinstance(facts, dict) else "") or "prepared"


def _how(card: Card) -> str:
    if card.gated != "none":
        return f"by hand ({card.gated})"
    if not (card.files or card.shards):
        return "synthetic, made here"
    known = readable(card.fetch_bytes) if card.fetch_bytes else ""
    unknown = any(file.size is None and file.about is None for file in card.files)
    return " ".join(
        part for part in (known, "and files of unstated size" if unknown else "") if part
    ).removeprefix("and ")


def _short_licence(card: Card) -> str:
    if card.licence.spdx:
        return card.licence.spdx
    return "research, non-commercial" if card.licence.commercial is False else "own terms"


def _section(name: str, card: Card) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    yield (
        f"**{card.title}.** {card.protocol} <{card.homepage}>"
        if "://" in card.homepage
        else (f"**{card.title}.** {card.protocol} See `{card.homepage}`.")
    )
    yield ""
    yield f"- Cite: {card.citation}"
    yield f"- Licence: {card.licence.text}"
    if card.terms.text:
        asked = " They must be accepted." if card.terms.accept_required else ""
        yield f"- Terms: {card.terms.text}{asked}"
    if card.gated != "none":
        yield f"- By hand ({card.gated}): {card.by_hand}"
    for file in card.files:
        yield f"- File `{file.name}`: {_file(file)}"
    for series in card.shards:
        md5 = "the publisher's md5 each" if series.md5_url else "hash taken at first use"
        yield f"- {series.count} archives of about {readable(series.bytes_each)}: {series.url}; {md5}"
    if card.expected:
        yield "- Holds: " + "; ".join(_count(key, count) for key, count in card.expected.items())
    if card.known_bad:
        bad = ", ".join(f"`{bad.path}`" for bad in card.known_bad)
        yield f"- Known bad ({card.known_bad[0].reason}): {bad}"
    yield f"- Image-set version: {card.image_set_version}" + (
        f"; disk: {readable(card.needs_disk)}" if card.needs_disk else ""
    )
    for overlap in card.overlaps:
        yield f"- Overlap with `{overlap.set}`: {overlap.what}" + (
            f" ({overlap.source})" if overlap.source else ""
        )
    for option, default in plugins.options("datasets", name).items():
        shown = "must be given" if default is inspect.Parameter.empty else f"default `{default}`"
        yield f"- Option `{option}`: {shown}"
    for note in card.notes:
        yield f"- {note}"


def _file(file: File) -> str:
    if file.size is not None:
        size = f"{file.size:,} bytes"
    else:
        size = f"about {readable(file.about)}" if file.about else "size not stated"
    kinds = [kind for kind in ("md5", "sha256") if getattr(file, kind)]
    unknown = (
        f"hash from the publisher's list <{file.hash_url}>" if file.hash_url else "hash taken at first use"
    )
    known = f"{' and '.join(kinds)} from {_source(file)}" if kinds else unknown
    return f"{size}; {known}" + "".join(f"; <{url}>" for url in file.urls)


def _source(file: File) -> str:
    return {"publisher": "the publisher", "third party": "a third party"}.get(
        file.hash_source, file.hash_source
    )


def _count(key: str, count: Count) -> str:
    sure = (
        ""
        if count.verified
        else " (expected, unconfirmed" + (f": {count.source}" if count.source else "") + ")"
    )
    return f"{count.value:,} {key}{sure}"
