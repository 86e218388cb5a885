"""`vitret metrics`: one ranking under every definition in use."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitret.cli import completions, console

if TYPE_CHECKING:
    from vitret.core.records import EvalSet
    from vitret.measure.definitions import Judged


def metrics(
    files: Annotated[
        list[str],
        typer.Argument(
            help="A ranking (.npy, .npz, .csv, .txt, .mat: one row of database numbers a query), a result row "
            "(.json), a folder of `vitret extract`, or two files: query and database descriptors."
        ),
    ],
    set_: Annotated[
        str,
        typer.Option(
            "--set",
            help="A prepared evaluation set; a result row knows its own.",
            autocompletion=completions.prepared,
        ),
    ] = "",
    truth: Annotated[
        Path | None, typer.Option(help="Instead of --set: a gnd_NAME.pkl or .json file; needs no images.")
    ] = None,
    query_image: Annotated[
        str, typer.Option(help="With --truth: junk or as_listed; see `vitret eval --help`.")
    ] = "",
    distractors: Annotated[
        str, typer.Option(help="With descriptors: more of them to search; negatives of every query.")
    ] = "",
    levels: Annotated[str, typer.Option(help="Comma-separated: easy, medium, hard; default: all.")] = "",
    form: Annotated[
        str, typer.Option("--format", help="table, latex or md (per cent), csv or json (fractions).")
    ] = "table",
) -> None:
    """Print one ranking under every definition in use.

    Shows who uses each definition: AP by trapezoids and rectangles, junk removed
    or counted, AP cut at k, MAP@R, R@K and others. Needs no torch.

    Examples:
      vitret metrics ranks.npy --set roxford5k
      vitret metrics q.npy db.npy --set sop --format csv
      vitret metrics results/S/gem/E/1a2b.json
    """
    from vitret.pages.formats import FORMS

    console.require_choice("--format", form, ("table", *FORMS))
    chosen = [level.strip() for level in levels.split(",") if level.strip()]
    if len(files) == 1 and files[0].endswith(".json"):
        _refuse_for_rows(set_=set_, truth=truth, distractors=distractors)
        name, judged, notes = _of_row(Path(files[0]), chosen)
    else:
        from vitret.cli.eval import evalset_of

        files = _there(files, distractors)
        evalset, known = evalset_of(set_, truth, query_image)
        judged, read = _judged(files, evalset, distractors=distractors, levels=chosen)
        name, notes = evalset.name, [*known, *read]
    if not judged.counted:
        notes.append(
            f"{name}: junk is not known (a row keeps ranks without it) or is a query's own image "
            "alone, so definitions that count junk are left out."
        )
    for note in notes:
        console.say(note)
    _put(name, judged, form)


def _refuse_for_rows(**given: Any) -> None:
    from vitret.core.errors import UserError

    wrong = next((name for name, value in given.items() if value), None)
    if wrong:
        raise UserError(
            f"--{wrong.rstrip('_')}: a result row knows its set and what was searched. Leave it out."
        )


def _of_row(path: Path, levels: list[str]) -> "tuple[str, Judged, list[str]]":
    """What is stored beside a row: its ranks, from which junk is gone."""
    from vitret.compare.results import read_ranks, read_result
    from vitret.measure.definitions import Judged

    row = read_result(path)
    ranks = read_ranks(path)
    _require_levels(levels, tuple(ranks), row.eval_name)
    kept = {level: one for level, one in ranks.items() if level in (levels or ranks)}
    return f"{row.eval_name}, {row.model.title}", Judged(removed=kept, counted={}), []


def _there(files: list[str], distractors: str) -> list[str]:
    """The files to read, those of a folder by name; raises what is wrong with them before a set is asked for."""
    from vitret.core.errors import UserError
    from vitret.measure.files import split_spec

    if len(files) == 1 and Path(files[0]).is_dir():
        files = [str(Path(files[0]) / stem) for stem in ("queries.npy", "database.npy")]
    if len(files) > 2:
        raise UserError(
            f"{len(files)} files: give one ranking, or queries and database; more database with --distractors."
        )
    if distractors and len(files) == 1:
        raise UserError("--distractors belongs to descriptors; a ranking holds its distractors already.")
    for file in [*files, *([distractors] if distractors else [])]:
        split_spec(file)
    return files


def _judged(
    files: list[str], evalset: "EvalSet", *, distractors: str, levels: list[str]
) -> "tuple[Judged, list[str]]":
    """Ranks of the files on the set, and what was done to the files."""
    from vitret.measure.bare import Files, read_files
    from vitret.measure.definitions import judge_descriptors, judge_ranking
    from vitret.measure.rankings import read_ranking

    _require_levels(levels, evalset.truth.levels, evalset.name)
    if len(files) == 2:
        given = Files(queries=files[0], database=files[1], distractors=(distractors,) if distractors else ())
        read = read_files(given, evalset)
        return judge_descriptors(read.queries, read.database, evalset, levels=levels), list(read.notes)
    stored = read_ranking(files[0], queries=len(evalset.queries), images=len(evalset.database))
    return judge_ranking(stored.ranking, evalset, levels=levels), list(stored.notes)


def _require_levels(levels: list[str], known: tuple[str, ...], name: str) -> None:
    from vitret.core.errors import UserError, did_you_mean

    for level in levels:
        if level not in known:
            raise UserError(f"{name} has no level '{level}'. {did_you_mean(level, known)}")


def _put(name: str, judged: "Judged", form: str) -> None:
    """Every definition with its values and users."""
    from vitret.measure.definitions import values
    from vitret.pages.formats import as_csv

    found = values(judged)
    counts = {level: int((ranks.n_positive > 0).sum()) for level, ranks in judged.removed.items()}
    if form == "json":
        rows = [{"definition": one.name, "values": _fractions(at), **one.words()} for one, at in found]
        about = {"set": name, "queries_with_positives": counts, "definitions": rows}
        console.put(json.dumps(about, indent=2, ensure_ascii=False))
        return
    if form == "csv":
        heads = ["definition", *counts, *found[0][0].words()]
        fractions = [["" if v is None else repr(v) for v in _fractions(at).values()] for _, at in found]
        rest = [list(one.words().values()) for one, _ in found]
        console.put(
            as_csv(heads, [[one.name, *f, *r] for (one, _), f, r in zip(found, fractions, rest, strict=True)])
        )
        return
    lines = [
        [one.name, *(_per_cent(value) for value in at.values()), one.used_by, one.source] for one, at in found
    ]
    if form == "table":
        some = ", ".join(f"{level} {count}" for level, count in counts.items())
        console.put(f"{name}; per cent; queries with positives: {some}")
    heads = ["definition", *counts, "used by", "source"]
    console.table(lines, heads=heads, right=counts, form="" if form == "table" else form)


def _fractions(at: "dict[str, float]") -> "dict[str, float | None]":
    return {level: None if math.isnan(value) else value for level, value in at.items()}


def _per_cent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.2f}"
