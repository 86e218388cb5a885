"""Any table as CSV, JSON, Markdown or LaTeX: the forms of `--format`, one function a form."""

import csv
import io
import json
from collections.abc import Container, Iterable, Sequence

from vitret.pages.markdown import markdown_table

Rows = Iterable[Sequence[str]]


def as_csv(heads: Sequence[str], rows: Rows) -> str:
    r"""Heads and one line a row, quoted where a cell needs it.

    >>> as_csv(["set", "for"], [["sop", "train, test"]])
    'set,for\nsop,"train, test"'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([heads, *rows])
    return text.getvalue().rstrip("\n")


def as_json(heads: Sequence[str], rows: Rows) -> str:
    """A list with one object a row, keyed by the heads; every value is the text of its cell."""
    return json.dumps([dict(zip(heads, row, strict=True)) for row in rows], indent=2, ensure_ascii=False)


def as_latex(heads: Sequence[str], rows: Rows, *, right: Container[str] = ()) -> str:
    r"""A booktabs tabular; the columns named in `right` are aligned there.

    >>> print(as_latex(["set", "n"], [["sop_x", "5"]], right=["n"]))
    \begin{tabular}{lr}
    \toprule
    set & n \\
    \midrule
    sop\_x & 5 \\
    \bottomrule
    \end{tabular}
    """
    return tabular(
        [tex(head) for head in heads],
        [[[tex(cell) for cell in row] for row in rows]],
        columns="".join("r" if head in right else "l" for head in heads),
    )


def tabular(heads: Sequence[str], blocks: Sequence[Sequence[Sequence[str]]], *, columns: str) -> str:
    """A booktabs tabular of cells that are LaTeX already; a rule between two blocks of rows."""
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(heads) + r" \\"]
    for block in blocks:
        # After a line break LaTeX reads [ and * as the break's own.
        rows = [["{}" + cells[0] if cells[0][:1] in ("[", "*") else cells[0], *cells[1:]] for cells in block]
        lines += [r"\midrule", *(" & ".join(cells) + r" \\" for cells in rows)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


_TEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "_%&#${}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "→": r"$\to$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "α": r"$\alpha$",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
}


def tex(text: str) -> str:
    r"""A text as LaTeX shows it.

    >>> tex("a_b: 50 % ± 1")
    'a\\_b: 50 \\% $\\pm$ 1'
    """
    return "".join(_TEX.get(sign, sign) for sign in text)


FORMS = ("csv", "json", "latex", "md")


def render(form: str, heads: Sequence[str], rows: Rows, *, right: Container[str] = ()) -> str:
    """A table in one of the `FORMS`; only LaTeX aligns the columns named in `right`."""
    if form == "latex":
        return as_latex(heads, rows, right=right)
    return {"csv": as_csv, "json": as_json, "md": markdown_table}[form](heads, rows)
