"""Numbers read in papers: shown apart, with their source, never ranked among measured rows.

results/published/*.yaml holds one entry a table row: method, training set, values in per cent as printed, and how
the number was read. Only what was read in the primary source or in a repository of its authors is admitted.
"""

from pathlib import Path
from typing import Literal

from vitret.core.config import Strict, read_yaml, validate


class PublishedRow(Strict):
    """One row of a paper's table; values in per cent, as printed."""

    method: str
    train_set: str
    dim: int | None = None
    protocol: str = ""
    values: dict[str, float]
    source: str
    read: Literal["primary", "repository of the authors", "second hand"]


class PublishedFile(Strict):
    title: str
    columns: tuple[str, ...]
    notes: str = ""
    rows: tuple[PublishedRow, ...]


def published_files(root: Path) -> list[PublishedFile]:
    return [
        validate(PublishedFile, read_yaml(path), str(path))
        for path in sorted((root / "published").glob("*.yaml"))
    ]


def published_section(root: Path) -> list[str]:
    """The closing section of LEADERBOARD.md; empty when there is nothing to show."""
    files = published_files(root)
    if not files:
        return []
    parts = [
        "## Published numbers, not measured here",
        "Read in papers; their protocols differ from ours and among each other.",
    ]
    for file in files:
        heads = ["method", "training set", "dim", *file.columns, "protocol", "source"]
        lines = [
            f"### {file.title}\n",
            *([file.notes + "\n"] if file.notes else []),
            "| " + " | ".join(heads) + " |",
            "|" + "---|" * len(heads),
        ]
        for row in file.rows:
            values = [f"{row.values[c]:g}" if c in row.values else "–" for c in file.columns]
            dim = "–" if row.dim is None else str(row.dim)
            cells = [row.method, row.train_set, dim, *values, row.protocol, f"{row.source} ({row.read})"]
            lines.append("| " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return parts
