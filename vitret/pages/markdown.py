"""Tables in Markdown: the one way in which every generated page writes them."""

from collections.abc import Iterable, Sequence


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Heads, a rule and one line a row; a bar within a cell is escaped.

    >>> print(markdown_table(["set", "for"], [["sop", "train|eval"]]))
    | set | for |
    |---|---|
    | sop | train\|eval |
    """
    lines = [_line(heads), "|" + "---|" * len(heads), *(_line(row) for row in rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
