"""What an interrupted preparation left, told from names alone: nothing is opened, and no large folder is walked."""

from collections.abc import Iterator
from pathlib import Path

from vitret.data.card import Card


def unfinished(data_root: Path, name: str, card: Card | None) -> str:
    """In words, how far the preparation of a set that is not there has come; empty where none was begun.

    Records of finished downloads, which stay for ever, and locks are no beginning.
    """
    works = [work for packed in ("", ".packed") if (work := data_root / ".work" / f"{name}{packed}").is_dir()]
    total = sum(series.count for series in card.shards) if card else 0
    done = max((sum(1 for _ in work.glob("state/shards*/*.parquet")) for work in works), default=0)
    if total and done:
        return f"unfinished, {done} of {total} shards"
    if (data_root / f"{name}.part").is_dir() or any(map(_has_begun, works)):
        return "unfinished"
    return ""


def begun(data_root: Path) -> Iterator[str]:
    """Names of sets of which a part is written."""
    return (path.name.removesuffix(".part") for path in data_root.glob("*.part") if path.is_dir())


def _has_begun(work: Path) -> bool:
    if (work / "tree").is_dir() or (work / "state").is_dir():
        return True
    downloads = (work / "downloads").rglob("*")
    return any(path.is_file() and path.suffix != ".lock" and not path.name.endswith(".fetched.json")
               for path in downloads)  # fmt: skip
