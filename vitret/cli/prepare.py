"""`vitret prepare`: official, drawn and own data into the one layout."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitret.cli import console

if TYPE_CHECKING:
    from vitret.data.prepare.sources import Choices

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


def prepare(
    names: Annotated[list[str], typer.Argument(help="Sets; `vitret list datasets` shows the known ones.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Your own data: gnd_NAME.pkl beside jpg/, a table (label, path, split, is_query, is_gallery), or one "
            "folder per class. For a known set: the official files that you have.",
        ),
    ] = None,
    hold_out: Annotated[
        float,
        typer.Option(help="With class folders: the fraction of classes, last by name, kept for evaluation."),
    ] = 0.0,
    set_: Annotated[list[str] | None, typer.Option("--set", help="An option of the set: key=value.")] = None,
    accept_terms: Annotated[bool, typer.Option(help="You have read the set's terms and agree.")] = False,
    replace: Annotated[
        bool, typer.Option(help="Build anew what is there; the old set stays until then.")
    ] = False,
    verify: Annotated[bool, typer.Option(help="Hash every image and table of a prepared set again.")] = False,
    plan: Annotated[
        bool,
        typer.Option(help="Say what would be fetched, how much room it needs, and the terms; touch nothing."),
    ] = False,
    shards: Annotated[
        str | None,
        typer.Option(help="Of a set in many archives only these, as 0-9,12; a valid, named subset."),
    ] = None,
    max_disk: Annotated[
        str | None,
        typer.Option(help="Of a set in many archives as many as fit, as 200GB; a valid, named subset."),
    ] = None,
    exclude: Annotated[
        Path | None, typer.Option(help="Of rgldv2-clean: a file of landmark ids to leave out, one a line.")
    ] = None,
    keep_downloads: Annotated[bool, typer.Option(help="Keep the archives when the set is whole.")] = False,
    packed: Annotated[
        bool, typer.Option(help="Of a set in many tars: leave the images in them and read them there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The plan for programs.")] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes that check images; default: all cores.")
    ] = None,
) -> None:
    """Prepare data sets: link or fetch the images, check and hash each, write the tables.

    Archives that a prepared set came from are not fetched again: a sister set links its images.

    Examples:
      vitret prepare roxford5k rparis6k --plan
      vitret prepare sop --accept-terms
      vitret prepare roxford5k --from ~/cirtorch/data
      vitret prepare my-shop --from ~/photos/shop
      vitret prepare my-shop --verify
    """
    import json
    import os

    from vitret.core import config, plugins
    from vitret.core.errors import CheckError, DataError, PartialError, UserError
    from vitret.core.recipes import unalias
    from vitret.data.layout.read import load_manifest
    from vitret.data.layout.verify import verify as check
    from vitret.data.own.detect import read_own
    from vitret.data.prepare.plan import check_cut, size_in_bytes
    from vitret.data.prepare.run import prepare as prepare_set
    from vitret.data.prepare.shared_archives import fullest_first
    from vitret.data.prepare.sources import Choices

    data_root = config.location("data").path
    for name in names:
        if unalias(name) != name:
            console.say(f"{name} stands for {unalias(name)}.")
    names = fullest_first([unalias(name) for name in names])
    if source is not None and len(names) > 1:
        raise UserError(f"--from gives one set; {len(names)} names were given.")
    if plan and source is not None and names[0] not in plugins.names("datasets"):
        own = read_own(source, names[0], hold_out=hold_out)
        facts = {"set": names[0], "kind": own.kind, "images": len(own.paths), "notes": list(own.notes)}
        console.put(
            json.dumps(facts) if as_json else f"{names[0]}: {own.kind}, {len(own.paths)} images to link"
        )
        return
    choices = Choices(
        shards=shards,
        max_disk=None if max_disk is None else size_in_bytes(max_disk),
        keep_downloads=keep_downloads,
        packed=packed,
    )
    if plan:
        _plan(names, data_root, choices, adopt=source is not None, as_json=as_json)
        return
    if verify:
        wrong = 0
        for name in names:
            found = check(
                name, data_root=data_root, workers=os.cpu_count() or 1 if workers is None else workers
            )
            for sentence in found:
                console.put(f"{name}: {sentence}")
            wrong += len(found)
        if wrong:
            raise CheckError(
                f"{wrong} images or tables differ from what was prepared. Build anew: vitret prepare … --replace"
            )
        console.say(f"{', '.join(names)}: every image and table is as it was prepared.")
        return
    for name in set(names) & set(plugins.names("datasets")):
        check_cut(plugins.load("datasets", name).CARD, shards=shards, max_disk=choices.max_disk)
    options = config.assign({}, set_ or [])
    if exclude is not None:
        options["exclude"] = str(exclude.absolute())
    broken, failed = [], {}
    for name in names:
        try:
            with console.transfers() as progress:
                folder = prepare_set(
                    name,
                    data_root=data_root,
                    source=source,
                    accept_terms=accept_terms,
                    report=console.say,
                    options=options,
                    choices=choices,
                    hold_out=hold_out,
                    replace=replace,
                    workers=workers,
                    progress=progress,
                )
        except DataError as error:
            # A host that is down, or terms that were not accepted, say nothing about the other sets.
            if len(names) == 1:
                raise
            console.complain(f"{name}: {error}")
            failed[name] = error
            continue
        manifest = load_manifest(data_root, name)
        counts = ", ".join(
            f"{manifest['counts'][what]} {what}" for what in _COUNTS if manifest["counts"].get(what)
        )
        console.put(f"{folder}: {manifest['images']} images; {counts}")
        for left in manifest["failed"]:
            console.say(f"left out: {left['path']} {left['reason']}")
        if manifest["failed"]:
            broken.append(
                f"{name}: {len(manifest['failed'])} broken images were left out; first: {manifest['failed'][0]['path']}"
            )
    if failed:
        told = f"{len(failed)} of {len(names)} sets could not be prepared: {', '.join(failed)}; the reasons are above."
        again = f"Then run again what is missing: vitret prepare {' '.join(failed)}"
        if len(failed) == len(names):
            raise DataError(f"{told} {again}")
        raise PartialError(" ".join([told, again + ".", *broken]))
    if broken:
        raise PartialError(". ".join(broken) + ". They are listed in manifest.json under 'failed'.")


def _plan(names: list[str], data_root: Path, choices: "Choices", *, adopt: bool, as_json: bool) -> None:
    """Print what each set would cost."""
    import json

    from vitret.core import plugins
    from vitret.data.prepare.plan import make_plan

    plans = [
        make_plan(
            plugins.load("datasets", name).CARD,
            data_root,
            shards=choices.shards,
            max_disk=choices.max_disk,
            adopt=adopt,
            packed=choices.packed,
            keep=choices.keep_downloads,
            before=names[:i],
        )
        for i, name in enumerate(names)
    ]
    if as_json:
        console.put(json.dumps([plan.as_dict() for plan in plans], indent=2, ensure_ascii=False))
        return
    for plan in plans:
        for line in plan.lines():
            console.put(line)
