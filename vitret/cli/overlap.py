"""`vitret overlap`: which training images show what an evaluation set asks about."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitret.cli import completions, console
from vitret.cli.options import Device, Precision, Trust

if TYPE_CHECKING:
    from vitret.compare.overlap.audit import Audit


def overlap(
    train_set: Annotated[
        str,
        typer.Argument(
            metavar="TRAINSET",
            help="A prepared training set; `vitret list datasets`.",
            autocompletion=completions.prepared,
        ),
    ],
    eval_set: Annotated[
        str,
        typer.Argument(
            metavar="EVALSET", help="A prepared evaluation set.", autocompletion=completions.prepared
        ),
    ],
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="A run, a frozen system or a network (timm:, torchhub:, hf:) that finds candidates; give two or more.",
            autocompletion=completions.networks,
        ),
    ] = None,
    size: Annotated[
        list[int] | None,
        typer.Option(
            min=32, help="Longer side in pixels for the descriptors; repeatable; default: 224 and 112."
        ),
    ] = None,
    neighbours: Annotated[
        int, typer.Option(min=1, help="Training images to check per image, network and size.")
    ] = 5,
    verdicts: Annotated[
        Path | None, typer.Option(help="Verdicts saved by the page; they are added to the evidence.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The evidence file; default: overlap-TRAINSET-EVALSET.json.")
    ] = None,
    record: Annotated[
        bool,
        typer.Option("--record", help="Keep a summary without photographs below results/, for the tables."),
    ] = False,
    page_pairs: Annotated[int, typer.Option(min=0, help="Pairs on the HTML page, strongest first.")] = 300,
    device: Device = "auto",
    precision: Precision = "auto",
    trust: Trust = False,
) -> None:
    """Find evaluation images in a training set.

    Compares every query and every positive with the training images by descriptors, by a perceptual hash and by
    geometry. Writes ranked evidence and an HTML page to confirm or reject pairs. Continues an interrupted audit.

    Examples:
      vitret overlap sfm120k roxford5k --by timm:resnet50 --by timm:convnext_tiny
      vitret overlap sfm120k roxford5k --verdicts verdicts.json --record
    """
    from vitret.compare.overlap.evidence import with_verdicts
    from vitret.core.errors import UserError
    from vitret.core.pairs import read_pairs_file

    path = out or Path(f"overlap-{train_set}-{eval_set}.json")
    if path.suffix != ".json":
        raise UserError(f"--out {path}: the evidence is a .json file.")
    # Wrong files are refused before the audit, not after it.
    before = _before(path, train_set, eval_set) if path.is_file() else None
    if verdicts is not None:
        read_pairs_file(verdicts)
    if by:
        audit = _audit(
            train_set, eval_set, by, sizes=size, neighbours=neighbours, device=device, precision=precision
        )
        evidence = _measured(audit, before, path=path)
    elif before is not None:
        evidence = before
    else:
        raise UserError(f"{path}: is not there yet. Name two networks to find candidates: --by A --by B.")
    if verdicts is not None:
        evidence = with_verdicts(evidence, verdicts)
    _put(evidence, path, page_pairs=page_pairs, record=record)


def _put(evidence: dict[str, Any], path: Path, *, page_pairs: int, record: bool) -> None:
    """Write the evidence, its page and, where asked, its record; print where they are."""
    from vitret.compare.overlap.evidence import summary, write_evidence
    from vitret.compare.overlap.known import write_measured
    from vitret.core.config import location
    from vitret.core.pairs import unjudged, unjudged_words

    page = path.with_suffix(".html")
    _page(page, evidence, most=page_pairs)
    write_evidence(path, evidence)
    counts = summary(evidence)
    console.say(", ".join(f"{count:,} {words}" for words, count in counts.items()) + " pairs")
    if still_open := unjudged(evidence["pairs"]):
        console.say(f"{unjudged_words(still_open)}. A proposal counts as overlap until it is rejected.")
    console.put(str(path))
    console.put(str(page))
    if record:
        console.put(str(write_measured(location("results").path, evidence)))


def _measured(audit: "Audit", before: dict[str, Any] | None, *, path: Path) -> dict[str, Any]:
    """The evidence of an audit, with the verdicts of the evidence before it, of `path`."""
    from vitret.compare.overlap.audit import overlap as audit_overlap
    from vitret.compare.overlap.evidence import continued, require_same_bytes

    if before is not None:
        digests = {"train": audit.trainset.digest, "evaluation": audit.evalset.digest}
        require_same_bytes(before, digests, path=path)
    evidence = audit_overlap(audit, say=console.say, steps=console.steps)
    return evidence if before is None else continued(evidence, before)


def _audit(
    train_set: str,
    eval_set: str,
    by: list[str],
    *,
    sizes: list[int] | None,
    neighbours: int,
    device: str,
    precision: str,
) -> "Audit":
    from vitret.compare.overlap.audit import SIZES, Audit, Settings
    from vitret.compare.overlap.geometry import require_opencv
    from vitret.core.config import location
    from vitret.core.protocol import Protocol
    from vitret.core.recipes import unalias
    from vitret.data import layout
    from vitret.describe.devices import pick_device
    from vitret.describe.request import Request
    from vitret.models.named import named_network

    require_opencv()
    data = location("data").path
    trainset, evalset = layout.load_train(data, unalias(train_set)), layout.load_eval(data, eval_set)
    for name in dict.fromkeys((trainset.name, evalset.name)):
        layout.require_unchanged(data, name, say=console.say)
    models = {name: named_network(name, say=console.say) for name in dict.fromkeys(by)}
    requests = {
        name: [
            Request(
                model=model,
                images=evalset.queries,
                protocol=Protocol(size=size),
                device=pick_device(device),
                precision=precision,
            )
            for size in dict.fromkeys(sizes or SIZES)
        ]
        for name, model in models.items()
    }
    return Audit(
        trainset=trainset,
        evalset=evalset,
        requests=requests,
        home=location("home").path,
        settings=Settings(neighbours=neighbours),
    )


def _before(path: Path, train_set: str, eval_set: str) -> dict[str, Any]:
    """The evidence that is there; raises `UserError` where it is of other sets."""
    from vitret.compare.overlap.evidence import read_evidence
    from vitret.core.errors import UserError
    from vitret.core.recipes import unalias

    evidence = read_evidence(path)
    names = evidence["train"]["name"], evidence["evaluation"]["name"]
    if names != (unalias(train_set), eval_set):
        raise UserError(f"{path}: is about {names[0]} and {names[1]}. Name another file: --out FILE.json")
    return evidence


def _page(path: Path, evidence: dict[str, Any], *, most: int) -> None:
    """Write the page; raises `UserError` where its photographs are no longer those of the evidence."""
    from vitret.core.config import location
    from vitret.core.errors import UserError
    from vitret.data import layout
    from vitret.pages.overlap import write_page

    data = location("data").path
    trainset = layout.load_train(data, evidence["train"]["name"])
    evaluated = layout.load_eval(data, evidence["evaluation"]["name"])
    for side, there in (("train", trainset), ("evaluation", evaluated)):
        if evidence[side]["digest"] != there.digest:
            raise UserError(
                f"{path.with_suffix('.json')}: is of other bytes of {there.name} than those here now. Look again, into "
                f"another file: vitret overlap {trainset.name} {evaluated.name} --by A --by B --out FILE.json"
            )

    def files(pair: dict[str, Any]) -> tuple[Path, Path]:
        side = evaluated.queries if pair["role"] == "query" else evaluated.database
        return trainset.images.root / pair["train"], side.root / pair["image"]

    write_page(path, evidence, files=files, most=most)
