"""What was found in a folder, as one HTML file with small pictures inside it: photographs and hits, or pairs."""

import html
from collections.abc import Sequence
from pathlib import Path

from vitret.compare.folder_search import Hit
from vitret.core.store import write_text
from vitret.data.boxes import Box
from vitret.pages.thumbnails import figure


def write_found(
    path: Path, answers: Sequence[tuple[str, Sequence[Hit]]], *, folder: Path, box: Box | None = None
) -> None:
    """A row of pictures for each photograph: itself, cut to the box, then its hits, best first."""
    rows = "".join(
        f"<section><h2>{html.escape(photo)}</h2><div>"
        f"{figure(Path(photo), 'asked', box=box)}{''.join(_hit(folder, hit) for hit in hits)}</div></section>"
        for photo, hits in answers
    )
    _write(path, f"Found in {folder}", rows)


def write_alike(path: Path, pairs: Sequence[tuple[str, Hit]], *, folder: Path) -> None:
    """A row of two pictures for each pair that is alike, the most alike first."""
    rows = "".join(
        f"<section><div>{figure(folder / one, one)}{_hit(folder, other)}</div></section>"
        for one, other in pairs
    )
    _write(path, f"Alike in {folder}", rows)


def _hit(folder: Path, hit: Hit) -> str:
    return figure(folder / hit.path, f"{hit.cosine:.3f} {hit.path}")


def _write(path: Path, title: str, rows: str) -> None:
    words = html.escape(title)
    write_text(
        path,
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{words}</title><style>{_STYLE}</style></head>\n'
        f"<body><h1>{words}</h1>{rows}</body></html>\n",
    )


_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 0 16px; }
h1 { font-size: 22px; } h2 { font-size: 16px; overflow-wrap: anywhere; }
section { border-top: 1px solid #8888; padding: 8px 0 16px; }
section > div { display: flex; flex-wrap: wrap; gap: 12px; }
figure { margin: 0; width: 170px; } img { width: 100%; height: 150px; object-fit: contain; background: #8882; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
section figure:first-child img { outline: 2px solid #1a5fb4; }
"""
