"""The tables of docs/statistics.md, made from coverage.json."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KEPT = Path(__file__).with_name("coverage.json")
PAGE = Path(__file__).parents[3] / "docs" / "statistics.md"
_BLOCK = re.compile(r"(<!-- simulation: (\w+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)


def with_tables(text: str, found: dict[str, Any]) -> str:
    """The page with each marked block made again."""
    makers = {
        "beta": beta_table,
        "nearly": nearly_table,
        "ranges": ranges,
        "real": real_table,
        "intervals": interval_table,
        "tests": test_table,
    }
    return _BLOCK.sub(lambda match: f"{match[1]}\n{makers[match[2]](found)}\n\n{match[3]}", text)


def beta_table(found: dict[str, Any]) -> str:
    rows = [
        (
            cell["groups"] + (", seeds 5.4 points apart" if cell["seed_share"] > 0.01 else ""),
            cell["correlation"],
            cell["seeds"],
            _points(cell["coverage"]),
            _points(cell["false_positives"]),
        )
        for cell in found["beta"]
    ]
    return _table(("groups", "correlation", "seeds", "coverage %", "false positives %"), rows)


def nearly_table(found: dict[str, Any]) -> str:
    """One line for each population, one column for each number of groups."""
    sizes = sorted({cell["groups"] for cell in found["nearly"]})
    covered = {(cell["least"], cell["groups"]): _points(cell["coverage"]) for cell in found["nearly"]}
    lines = dict.fromkeys(cell["least"] for cell in found["nearly"])
    rows = [(f"{least} to 1", *(covered[least, size] for size in sizes)) for least in lines]
    return _table(("right ones", *(f"coverage % {size}" for size in sizes)), rows)


def ranges(found: dict[str, Any]) -> str:
    """The least and the greatest of the real rows' cells, in a sentence for each number of groups."""
    lines = []
    for size in sorted({cell["groups"] for cell in found["real"]}):
        cells = [cell for cell in found["real"] if cell["groups"] == size]
        held, separated = ([cell[what] for cell in cells] for what in ("coverage", "false_positives"))
        lines.append(
            f"- {size} groups: the truth is held {_points(min(held))} to {_points(max(held))} % of the time; "
            f"false positives are at most {_points(max(separated))} %."
        )
    return "\n".join(lines)


def real_table(found: dict[str, Any]) -> str:
    """One line for each population and number of seeds, one column for each number of groups."""
    sizes = sorted({cell["groups"] for cell in found["real"]})
    by_cell = {(cell["rows"], cell["seeds"], cell["groups"]): cell for cell in found["real"]}
    lines = dict.fromkeys((cell["rows"], cell["seeds"]) for cell in found["real"])
    rows = [
        (
            name,
            seeds,
            *(_points(by_cell[name, seeds, size]["coverage"]) for size in sizes),
            *(_points(by_cell[name, seeds, size]["false_positives"]) for size in sizes),
        )
        for name, seeds in lines
    ]
    heads = [f"{what} % {size}" for what in ("coverage", "false positives") for size in sizes]
    return _table(("rows", "seeds", *heads), rows)


def interval_table(found: dict[str, Any]) -> str:
    return _methods(found, "coverage")


def test_table(found: dict[str, Any]) -> str:
    return _methods(found, "false_positives")


def _methods(found: dict[str, Any], what: str) -> str:
    names = list(found["methods"][0][what])
    rows = [
        (cell["groups"], cell["correlation"], *(_points(cell[what][name]) for name in names))
        for cell in found["methods"]
    ]
    return _table(("groups", "correlation", *names), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ("---", *("--:" for _ in head[1:])), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _points(value: float) -> str:
    return f"{value:.1f}"
