"""`vitret prepare`: official, synthetic and own data into the one layout."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitret.cli import completions, console
from vitret.cli.verify import Workers, verify_sets

if TYPE_CHECKING:
    from vitret.data.prepare.request import KnownSet, OwnSet, Request

_COUNTS = (
    "train",
    "validation",
    "classes",
    "pairs",
    "queries",
    "database",
    "easy",
    "hard",
    "positive",
    "junk",
)


Names = Annotated[
    list[str],
    typer.Argument(
        help="Sets; `vitret list datasets` shows the known ones.", autocompletion=completions.datasets
    ),
]
Source = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="Your own data: gnd_NAME.pkl beside jpg/, a table (label, path, split, is_query, is_gallery), or one "
        "folder per class. For a known set: the official files that you have.",
    ),
]
HoldOut = Annotated[
    float | None,
    typer.Option(
        help="With class folders: the fraction of classes, last by name, kept for evaluation; default: half of four "
        "or more.",
    ),
]
WithoutCopies = Annotated[
    bool,
    typer.Option(
        "--without-copies",
        help="With your own data: a query ignores byte-identical copies of itself in the database.",
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="With your own data: refuse a folder of which something is left out.")
]
Options = Annotated[list[str] | None, typer.Option("--set", help="An option of the set: key=value.")]
AcceptTerms = Annotated[bool, typer.Option(help="You have read the set's terms and agree.")]
Replace = Annotated[
    bool, typer.Option(help="Build the set again; the old one stays until the new one is whole.")
]
Verify = Annotated[bool, typer.Option(help="The same as `vitret verify NAMES`.")]
Plan = Annotated[bool, typer.Option(help="Show the downloads, the disk space and the terms; change nothing.")]
Shards = Annotated[
    str | None,
    typer.Option(help="Prepare only these shards, e.g. 0-9,12; results are labelled as a subset."),
]
MaxDisk = Annotated[
    str | None,
    typer.Option(help="Prepare as many shards as fit, e.g. 200GB; results are labelled as a subset."),
]
Exclude = Annotated[
    Path | None, typer.Option(help="For rgldv2-clean: a file of landmark ids to leave out, one a line.")
]
KeepDownloads = Annotated[bool, typer.Option(help="Keep the archives when the set is whole.")]
Packed = Annotated[
    bool, typer.Option(help="For a set of many tars: leave the images inside and read them there.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")]


def prepare(
    names: Names,
    source: Source = None,
    hold_out: HoldOut = None,
    without_copies: WithoutCopies = False,
    strict: Strict = False,
    set_: Options = None,
    accept_terms: AcceptTerms = False,
    replace: Replace = False,
    verify: Verify = False,
    plan: Plan = False,
    shards: Shards = None,
    max_disk: MaxDisk = None,
    exclude: Exclude = None,
    keep_downloads: KeepDownloads = False,
    packed: Packed = False,
    as_json: AsJson = False,
    workers: Workers = None,
) -> None:
    """Prepare datasets: link or fetch images, and write the tables.

    Every image is opened and hashed. An archive that another prepared set was made
    from is not fetched again: its images are linked.

    Examples:
      vitret prepare roxford5k rparis6k --plan
      vitret prepare sop --accept-terms
      vitret prepare roxford5k --from ~/cirtorch/data
      vitret prepare my-shop --from ~/photos/shop
    """
    from vitret.core import config
    from vitret.data.prepare.disk_budget import size_in_bytes
    from vitret.data.prepare.request import Choices, Request

    names = _in_order(names)
    _check_source(names, source)
    if verify and not plan:
        verify_sets(names, workers=workers)
        return
    choices = Choices(
        shards=shards,
        max_disk=None if max_disk is None else size_in_bytes(max_disk),
        keep_downloads=keep_downloads,
        packed=packed,
    )
    requests = [
        Request(
            name,
            data_root=config.location("data").path,
            source=source,
            accept_terms=accept_terms,
            options=_options(set_ or [], exclude),
            choices=choices,
            hold_out=hold_out,
            without_copies=without_copies,
            strict=strict,
            replace=replace,
            workers=workers,
            report=console.say,
        )
        for name in names
    ]
    if plan:
        _plan(requests, as_json=as_json)
    else:
        _prepare(requests)


def _in_order(names: Sequence[str]) -> list[str]:
    """The names that aliases stand for, in the order in which later sets can link what earlier ones fetched."""
    from vitret.core.recipes import unalias
    from vitret.data.prepare.shared_archives import fullest_first

    for name in names:
        if unalias(name) != name:
            console.say(f"{name} stands for {unalias(name)}.")
    return fullest_first([unalias(name) for name in names])


def _check_source(names: Sequence[str], source: Path | None) -> None:
    from vitret.core.errors import UserError

    if source is not None and len(names) > 1:
        raise UserError(f"--from prepares one set; {len(names)} names were given.")


def _options(assignments: list[str], exclude: Path | None) -> dict[str, Any]:
    """The options of the set's part; the file of `--exclude` is found from any folder."""
    from vitret.core import config

    options = dict(config.assign({}, assignments))
    if exclude is not None:
        options["exclude"] = str(exclude.absolute())
    return options


def _plan(requests: "Sequence[Request]", *, as_json: bool) -> None:
    """Print what each set would cost."""
    import json

    from vitret.core import plugins
    from vitret.data.prepare.plan import plan_request

    first = requests[0]
    if first.source is not None and first.name not in plugins.names("datasets"):
        _plan_own(first, first.source, as_json=as_json)
        return
    names = [request.name for request in requests]
    plans = [plan_request(request, before=names[:i]) for i, request in enumerate(requests)]
    if as_json:
        console.put(json.dumps([plan.as_dict() for plan in plans], indent=2, ensure_ascii=False))
        return
    for plan in plans:
        for line in plan.lines():
            console.put(line)


def _plan_own(request: "Request", source: Path, *, as_json: bool) -> None:
    """Print what a folder of the user's own photographs holds."""
    import json

    from vitret.data.own.detect import read_own

    own = read_own(source, request.name, hold_out=request.hold_out)
    facts = {"set": request.name, "kind": own.kind, "images": len(own.paths), "notes": list(own.notes)}
    if as_json:
        console.put(json.dumps(facts))
        return
    console.put(f"{request.name}: {own.kind}, {len(own.paths)} images to link")
    for note in own.notes:
        console.put(note)


def _prepare(requests: "Sequence[Request]") -> None:
    """Prepare sets one after the other; what fails for one does not stop the others, and is told at the end."""
    from vitret.core.errors import DataError
    from vitret.data.prepare.request import resolve

    jobs = [resolve(request) for request in requests]
    failed: list[str] = []
    broken: list[str] = []
    for job in jobs:
        try:
            broken += _prepare_one(job)
        except DataError as error:
            # A host that is down, or terms that were not accepted, say nothing about the other sets.
            if len(jobs) == 1:
                raise
            console.complain(f"{job.request.name}: {error}")
            failed.append(job.request.name)
    _raise_what_is_missing(len(jobs), failed, broken)


def _prepare_one(job: "KnownSet | OwnSet") -> list[str]:
    """Prepare a set and print its folder and counts; returns a sentence where broken images were left out."""
    from vitret.data.layout.read import copies_of, load_manifest
    from vitret.data.prepare.request import OwnSet
    from vitret.data.prepare.run import carry_out

    name = job.request.name
    with console.transfers() as progress:
        folder = carry_out(job, progress)
    manifest = load_manifest(job.request.data_root, name)
    found, failed = manifest["counts"], manifest["failed"]
    counts = ", ".join(f"{found[what]} {what}" for what in _COUNTS if found.get(what))
    console.put(f"{folder}: {manifest['images']} images; {counts}")
    for note in copies_of(job.request.data_root, name):
        console.say(f"{name}: {note}")
    for image in failed:
        console.say(f"left out: {image['path']} {image['reason']}")
    if isinstance(job, OwnSet) and job.data is not None:
        _say_next(job.request, found)
    if not failed:
        return []
    count = "1 broken image was" if len(failed) == 1 else f"{len(failed)} broken images were"
    return [f"{name}: {count} left out; first: {failed[0]['path']}"]


def _say_next(request: "Request", counts: dict[str, int]) -> None:
    """The command that comes next for a set of the user's own; one that trains gets a first track."""
    from vitret.compare.own_track import write_first_track
    from vitret.core.config import location
    from vitret.core.recipes import shipped_track

    name = request.name
    if counts.get("train") and counts.get("queries"):
        words = f"the budget of trainings on {name}"
        shipped = shipped_track(name)
        if shipped is None:
            track, first = write_first_track(location("home").path, name, counts)
            kept = "kept; without it a first one is written again"
            console.say(f"{track}: {f'{words}, to be edited' if first else kept}")
        else:
            console.say(f"{shipped}: {words}; --set track.KEY=VALUE changes it")
        console.say(f"Next: vitret bench --train-set {name}")
    elif counts.get("train") and counts.get("classes", 0) > 1:
        console.say(
            f"All classes of {name} train. To measure on half of them: vitret prepare {name} --from {request.source} "
            "--hold-out 0.5 --replace"
        )
    elif counts.get("queries"):
        suite = "own-photographs" if counts.get("easy") or counts.get("hard") else "own-classes"
        console.say(f"Next: vitret bench --train-set none --suite {suite} --eval-set {name}")


def _raise_what_is_missing(total: int, failed: Sequence[str], broken: Sequence[str]) -> None:
    from vitret.core.errors import DataError, PartialError

    if failed:
        said = f"{len(failed)} of {total} sets could not be prepared: {', '.join(failed)}; the reasons are above."
        again = f"Then run again: vitret prepare {' '.join(failed)}"
        if len(failed) == total:
            raise DataError(f"{said} {again}")
        raise PartialError(" ".join([said, again + ".", *broken]))
    if broken:
        raise PartialError(". ".join(broken) + ". All are listed in manifest.json under 'failed'.")
