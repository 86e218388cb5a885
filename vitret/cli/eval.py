"""`vitret eval`: official metrics for the descriptors of any framework, without torch."""

import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitret.cli import completions, console
from vitret.cli.options import Search

if TYPE_CHECKING:
    from vitret.compare.groups import Groups
    from vitret.core.protocol import RerankSpec
    from vitret.core.records import EvalSet
    from vitret.measure.bare import Files, Scored
    from vitret.measure.evaluate import Measurement


Queries = Annotated[
    str,
    typer.Option(
        help="Query descriptors: .npy, .npz, .h5, .mat, .safetensors, .pt; FILE:NAME selects one of several arrays."
    ),
]
Database = Annotated[
    str, typer.Option(help="Database descriptors, one row per image in the order of the dataset.")
]
EvalSetName = Annotated[
    str,
    typer.Option(
        "--set",
        help="A prepared evaluation set; `vitret list datasets`.",
        autocompletion=completions.prepared,
    ),
]
Truth = Annotated[
    Path | None, typer.Option(help="Instead of --set: a gnd_NAME.pkl or .json file; needs no images.")
]
QueryImage = Annotated[
    str,
    typer.Option(
        help="With --truth, for a query that is in imlist too: junk (it is ignored) or as_listed; default: junk, "
        "for oxford5k and paris6k as_listed, as their protocol says."
    ),
]
Distractors = Annotated[
    list[str] | None, typer.Option(help="More descriptors to search; negatives of every query; repeatable.")
]
Metrics = Annotated[
    str,
    typer.Option(
        help="Comma-separated: mAP, mP@k, R@k, R-precision, MAP@R, mAP@k and others (docs/metrics.md); "
        "default: the usual ones of the dataset."
    ),
]
Levels = Annotated[str, typer.Option(help="Comma-separated: easy, medium, hard; default: all.")]
Rerank = Annotated[str, typer.Option(help="Re-rank the top results (superglobal needs no network).")]
Depth = Annotated[
    int | None, typer.Option(min=1, help="Number of results to re-rank; default: that of the re-ranker.")
]
Shortlist = Annotated[
    str, typer.Option(help="plain, or oracle: junk is removed first, using the ground truth.")
]
Shard = Annotated[
    str,
    typer.Option(
        metavar="I/N", help="Count in part I of N of what is searched; the last prints the numbers."
    ),
]
Counts = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="With --shard: a folder that all N machines read and write."),
]
WithoutOverlap = Annotated[
    Path | None,
    typer.Option(
        "--without-overlap",
        metavar="FILE",
        help="Print the numbers a second time, without the queries that overlap.",
    ),
]
Form = Annotated[
    str,
    typer.Option("--format", help="table, csv, latex or md (per cent), or json (fractions)."),
]
Engine = Annotated[str, typer.Option(help="numpy, or torch on --device; the numbers are equal.")]
Device = Annotated[str, typer.Option(help="With --engine torch: auto, cpu, cuda or mps.")]


def eval_(
    queries: Queries,
    database: Database,
    set_: EvalSetName = "",
    truth: Truth = None,
    query_image: QueryImage = "",
    distractors: Distractors = None,
    metrics: Metrics = "",
    levels: Levels = "",
    rerank: Rerank = "",
    depth: Depth = None,
    shortlist: Shortlist = "plain",
    search: Search = "",
    shard: Shard = "",
    counts: Counts = None,
    without_overlap: WithoutOverlap = None,
    form: Form = "table",
    engine: Engine = "numpy",
    device: Device = "cpu",
) -> None:
    """Measure given descriptors with the official metrics.

    The descriptors may come from any framework. Needs no torch.

    Examples:
      vitret eval --queries q.npy --database db.npy --set roxford5k
      vitret eval --queries f.mat:Q --database f.mat:X --truth gnd.pkl
      vitret eval --queries q.npy --database db.npy --set sop --metrics R@1,MAP@R
      vitret eval --queries q.npy --database db.npy --set sop --search hnsw
      vitret eval --queries q.npy --database d.npy --set s --shard 1/4 --counts c
    """
    from vitret.measure.bare import Files
    from vitret.measure.files import split_spec
    from vitret.pages.formats import FORMS

    console.require_choice("--format", form, ("table", *FORMS))
    place = _place(engine, device)
    second = _rerank(rerank, depth, shortlist=shortlist)
    files = Files(queries=queries, database=database, distractors=tuple(distractors or ()))
    # A missing file is said before a set is asked for: who measures only descriptors may have prepared none yet.
    for file in (queries, database, *files.distractors):
        split_spec(file)
    evalset, known = evalset_of(set_, truth, query_image)
    asked = _Asked(_words(metrics), _words(levels), engine=engine, device=place)
    if shard or counts is not None:
        _refuse_with_shard(rerank=rerank, search=search)
        scored = _share(files, evalset, asked, shard=shard, counts=counts)
    else:
        scored = _whole(files, evalset, asked, rerank=second, search=search)
    if scored is None:
        return
    notes = [*known, *scored.notes]
    for note in notes:
        console.say(note)
    summary = _summary(evalset, scored, second=second)
    if without_overlap is not None:
        summary["without_overlap"] = _without(evalset, scored, without_overlap)
    summary["notes"] = [*notes, *_rough(summary)]
    if form == "json":
        console.put(json.dumps(summary, indent=2))
    else:
        _print(summary, "" if form == "table" else form)


@dataclass(frozen=True)
class _Asked:
    """Which numbers, and what computes them."""

    metrics: list[str]
    levels: list[str]
    _: KW_ONLY
    engine: str
    device: str


def _place(engine: str, device: str) -> str:
    """The device of an engine, which is there; torch is imported only where it computes."""
    from vitret.core.errors import UserError
    from vitret.measure.engines import ENGINES

    console.require_choice("--engine", engine, ENGINES)
    if engine == "torch":
        from vitret.describe.devices import pick_device

        return str(pick_device(device))
    if device != "cpu":
        raise UserError(f"--device {device} belongs to --engine torch: numpy computes on the CPU.")
    return device


def _whole(
    files: "Files", evalset: "EvalSet", asked: _Asked, *, rerank: "RerankSpec", search: str
) -> "Scored":
    """The numbers, by this process alone."""
    from vitret.core.approximate import parse_index
    from vitret.measure.bare import score_files

    return score_files(
        files,
        evalset,
        metrics=asked.metrics,
        levels=asked.levels,
        rerank=rerank,
        search=parse_index(search) if search else None,
        engine=asked.engine,
        device=asked.device,
    )


def _refuse_with_shard(**given: str) -> None:
    from vitret.core.errors import UserError

    wrong = next((name for name, value in given.items() if value), None)
    if wrong:
        raise UserError(
            f"--{wrong} is not divided: --shard counts the ranks of exact search. Leave one of them out."
        )


def _share(
    files: "Files", evalset: "EvalSet", asked: _Asked, *, shard: str, counts: Path | None
) -> "Scored | None":
    """The numbers where all shares are counted; else what is missing is said."""
    from vitret.core.errors import UserError
    from vitret.core.shares import parse_share
    from vitret.measure.bare import Scored, score_share

    if not shard or counts is None:
        raise UserError("--shard and --counts belong together, e.g. --shard 1/4 --counts /shared/counts")
    share = parse_share(shard)
    found = score_share(
        files,
        evalset,
        share=share,
        folder=counts,
        metrics=asked.metrics,
        levels=asked.levels,
        engine=asked.engine,
        device=asked.device,
    )
    if isinstance(found, Scored):
        return found
    missing = ", ".join(f"--shard {i + 1}/{share.of}" for i in found)
    console.say(f"{shard} is counted. The numbers come with the last share; not there yet: {missing}")
    return None


def evalset_of(name: str, truth: Path | None, query_image: str) -> "tuple[EvalSet, list[str]]":
    """The prepared set of a name, or what a truth file says; and what should be known of its queries."""
    from vitret.core.config import location
    from vitret.core.errors import UserError
    from vitret.data.layout.read import load_eval, notes_of
    from vitret.measure.bare import read_truth

    if bool(name) == (truth is not None):
        raise UserError("say what to measure on: either --set NAME (prepared) or --truth FILE, not both.")
    if truth is not None:
        known = read_truth(truth, query_image=query_image)
        return known.evalset, list(known.notes)
    if query_image:
        raise UserError(
            "--query-image belongs to --truth; a prepared set has its rule: for oxford5k and paris6k "
            "`vitret prepare NAME --set query_image=junk`."
        )
    data = location("data").path
    evalset = load_eval(data, name)
    return evalset, notes_of(data, evalset)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _rerank(kind: str, depth: int | None, *, shortlist: str) -> "RerankSpec":
    from vitret.core import plugins
    from vitret.core.config import validate
    from vitret.core.errors import UserError
    from vitret.core.protocol import RerankSpec

    if kind in ("", "none"):
        if depth is not None or shortlist != RerankSpec().shortlist:
            alone = f"--shortlist {shortlist}" if depth is None else f"--depth {depth}"
            raise UserError(f"{alone} is about re-ranking: say which, e.g. --rerank superglobal.")
        return RerankSpec()
    first = depth or plugins.options("rerankers", kind).get("depth", RerankSpec().depth)
    given = {"kind": kind, "depth": first, "shortlist": shortlist}
    return validate(RerankSpec, given, "--rerank").resolved()


def _summary(evalset: "EvalSet", scored: "Scored", *, second: "RerankSpec") -> dict[str, Any]:
    from vitret.compare.groups import Groups

    found = scored.measurement
    levels, groups = _levels(found, evalset), Groups.of(evalset)
    again = ""
    if second.kind != "none":
        again = f"{second.kind} of the first {second.depth}, {second.shortlist} shortlist, "
    search = found.search
    how = "exact search" if search is None else f"approximate search by {search.index}, {search.words}"
    return {
        "set": evalset.name,
        "queries": found.n,
        "groups": groups.count,
        "database": len(evalset.database),
        "distractors": scored.distractors,
        "dim": scored.dim,
        "levels": levels,
        "search": None if search is None else search.model_dump(mode="json"),
        "measured": f"{how}, {again}ties by database index, junk removed, queries without positives left out; "
        f"95 % intervals, {_grouped(groups)}; how the descriptors were made is not known here",
    }


def _rough(summary: dict[str, Any]) -> list[str]:
    """Whether intervals are rough, as the tables of rows say it."""
    from vitret.compare.standing import few_groups

    counts = [(summary["set"], summary["groups"])]
    if summary.get("without_overlap", {}).get("queries"):
        counts.append((f"{summary['set']} without overlap", summary["without_overlap"]["groups"]))
    return few_groups(counts)


def _levels(found: "Measurement", evalset: "EvalSet", dropped: Sequence[int] = ()) -> dict[str, Any]:
    """Level → its numbers over the queries that have a positive and are not dropped."""
    import numpy as np

    from vitret.compare.intervals import interval

    levels: dict[str, Any] = {level: {"queries_with_positives": 0, "metrics": {}} for level in found.ranks}
    for (level, metric), every in found.per_query.items():
        values = every.copy()
        values[list(dropped)] = np.nan
        kept = values[~np.isnan(values)]
        levels[level]["queries_with_positives"] = len(kept)
        if len(kept):
            low, high = interval(values, evalset.groups)
            levels[level]["metrics"][metric] = {"value": float(kept.mean()), "low": low, "high": high}
    return levels


def _without(evalset: "EvalSet", scored: "Scored", file: Path) -> dict[str, Any]:
    """The numbers without the queries that a file of overlap names."""
    from vitret.compare.groups import Groups
    from vitret.compare.overlap.affected import read_affected
    from vitret.core.errors import UserError

    affected = read_affected(file)
    if affected.evaluation != evalset.name or affected.queries != scored.measurement.n:
        raise UserError(
            f"{file}: is about {affected.queries} queries of {affected.evaluation}, not about the "
            f"{scored.measurement.n} of {evalset.name}."
        )
    dropped, left = affected.rows.tolist(), Groups.of(evalset).without(affected.rows)
    return {
        "train": affected.train,
        "queries": dropped,
        "unjudged": affected.unjudged,
        "groups": left.count,
        "levels": _levels(scored.measurement, evalset, dropped),
        "measured": f"without {affected.words}; what is left: {_grouped(left)}"
        if dropped
        else affected.words,
    }


def _grouped(groups: "Groups") -> str:
    """Over what the intervals are, in words."""
    return f"queries in {groups.in_words}" if groups.known else "queries taken as independent"


def _print(summary: dict[str, Any], form: str) -> None:
    """The summary for eyes, in per cent; where its table is for a program the words go to stderr."""
    metrics = list(next(level["metrics"] for level in summary["levels"].values() if level["metrics"]))
    more = f" + {summary['distractors']:,} distractors" if summary["distractors"] else ""
    tell = console.say if form else console.put
    tell(f"{summary['set']}: {summary['database']:,} images{more}, {summary['dim']} dimensions; per cent")
    heads = ["level", "queries", *metrics]
    every = _cells(summary["levels"], summary["queries"], metrics)
    without = summary.get("without_overlap")
    if without is None:
        console.table(every, heads=heads, form=form)
        tell(summary["measured"])
    else:
        kept = _cells(without["levels"], summary["queries"], metrics) if without["queries"] else []
        words = f"{summary['measured']}\n\n{without['measured']}"
        console.with_and_without(every, kept, words=words, heads=heads, form=form)
    for line in _rough(summary):
        tell(line)


def _cells(levels: dict[str, Any], queries: int, metrics: Sequence[str]) -> list[list[str]]:
    """One row a level; where no query is left, no numbers."""
    return [
        [
            name,
            f"{level['queries_with_positives']} of {queries}",
            *(_cell(level["metrics"][metric]) if level["metrics"] else "–" for metric in metrics),
        ]
        for name, level in levels.items()
    ]


def _cell(number: dict[str, float]) -> str:
    return f"{100 * number['value']:.2f} [{100 * number['low']:.1f}, {100 * number['high']:.1f}]"
