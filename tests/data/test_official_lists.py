"""The real names and labels in the publishers' own list formats, through the converters of the cards."""

import csv
import gzip
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from vitret.core import plugins
from vitret.data.datasets import _conversion, inshop
from vitret.data.layout.write import LayoutWriter


class Tables(LayoutWriter):
    """Takes the rows; the photographs are not here."""

    def images(self, root: Path, paths: Sequence[str], names: Sequence[str]) -> None:
        assert list(paths) == list(names)


@pytest.fixture(autouse=True)
def without_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (_conversion, inshop):
        monkeypatch.setattr(module, "require", lambda *_: None)


def split(shared: Path, name: str) -> list[tuple[str, str]]:
    """(label, path) rows of a public split file."""
    with gzip.open(shared / "splits" / f"{name}.csv.gz", "rt", encoding="utf-8") as handle:
        return [(label, path) for label, path in csv.reader(handle)]


def counted(name: str, tree: Path) -> dict[str, int]:
    """What the converter of a card counts; every verified number of the card is among it."""
    part = plugins.load("datasets", name)
    with Tables(tree.parent / "data", name) as writer:
        part.build()(tree, writer)
        counts = writer.counts()
    verified = {key: count.value for key, count in part.CARD.expected.items() if count.verified}
    assert {key: counts[key] for key in verified} == verified
    return counts


# The counts: shared/reference/datasets.md 1.9.
def test_sop(shared: Path, tmp_path: Path) -> None:
    tree = tmp_path / "Stanford_Online_Products"
    tree.mkdir()
    for part in ("train", "test"):
        rows = enumerate(split(shared, f"stanford_online_{part}"), start=1)
        lines = "".join(f"{i} {label} 1 {path}\n" for i, (label, path) in rows)
        (tree / f"Ebay_{part}.txt").write_text(f"image_id class_id super_class_id path\n{lines}")
    counts = counted("sop", tree.parent)
    assert (counts["train"], counts["classes"], counts["queries"]) == (59_551, 11_318, 60_502)


def test_cub(shared: Path, tmp_path: Path) -> None:
    tree = tmp_path / "CUB_200_2011"
    (tree / "images").mkdir(parents=True)
    both = list(enumerate(split(shared, "cub_train") + split(shared, "cub_test"), start=1))
    (tree / "images.txt").write_text("".join(f"{i} {path}\n" for i, (_, path) in both))
    (tree / "image_class_labels.txt").write_text("".join(f"{i} {int(label)}\n" for i, (label, _) in both))
    counts = counted("cub200", tree.parent)
    assert (counts["train"], counts["classes"], counts["queries"]) == (5_864, 100, 5_924)


def test_inshop(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "Img" / "img").mkdir(parents=True)
    (tmp_path / "Eval").mkdir()
    rows = [(path, label, "train") for label, path in split(shared, "deep_fashion_train")]
    # The public split merges queries and gallery: each item's first images fill a gallery of the official size.
    seen: Counter[str] = Counter()
    ranked = []
    for label, path in split(shared, "deep_fashion_test"):
        ranked.append((seen[label], path, label))
        seen[label] += 1
    ranked.sort()
    rows += [(path, label, "gallery" if i < 12_612 else "query") for i, (_, path, label) in enumerate(ranked)]
    lines = "".join(f"{path}    {label}   {status}\n" for path, label, status in rows)
    head = f"{len(rows)}\nimage_name item_id evaluation_status\n"
    (tmp_path / "Eval" / "list_eval_partition.txt").write_text(head + lines)
    counts = counted("inshop", tmp_path)
    assert (counts["train"], counts["classes"]) == (25_882, 3_997)
    assert counts["queries"] + counts["database"] == 26_830
    assert len(seen) == 3_985
