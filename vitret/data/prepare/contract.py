"""What every dataset part must do: a card, and a conversion that gives the same sound set each time."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vitret.core import plugins
from vitret.core.contract import Stage
from vitret.core.errors import listed
from vitret.data import layout
from vitret.data.card import Card
from vitret.data.layout.verify import verify
from vitret.data.prepare.request import Request, resolve_known
from vitret.data.prepare.run import carry_out


def described(name: str) -> Iterator[str]:
    """`CARD` is a card of the file's own name."""
    card = getattr(plugins.load("datasets", name), "CARD", None)
    if not isinstance(card, Card):
        yield "a dataset needs CARD = Card(…), from vitret.data.card: what it is, and what one may do with it."
        return
    if card.name != name:
        yield f"CARD.name is '{card.name}', the file makes it '{name}': give both one name."
    if not card.kind:
        yield "CARD.kind is empty: train, eval or distractors."


def prepared(name: str, options: Mapping[str, Any], tree: Path | None, root: Path) -> Iterator[str]:
    """It can be prepared from a tree, or from nothing where its card has none; the second time with the same bytes."""
    module = plugins.load("datasets", name)
    card: Card = module.CARD
    if card.tree and tree is None:
        if not hasattr(module, "example"):
            yield (
                "the conversion was not tried. Give a folder as users have it with --from FOLDER, or write a function "
                "`example(folder)` that puts a few files there as the official download has them."
            )
            return
        tree = root / "example"
        tree.mkdir(parents=True)
        module.example(tree)
        card = card.model_copy(update={"expected": {}})  # those of the whole set
    digests = []
    for attempt in ("one", "two"):
        request = Request(
            name, data_root=root / attempt, source=tree, accept_terms=True, options=options, workers=0
        )
        carry_out(resolve_known(request, card))
        digests.append(layout.load_manifest(root / attempt, name)["digests"])
    differ = [part for part in digests[0] if digests[0][part] != digests[1].get(part)]
    if differ:
        yield f"two conversions of the same files differ in {listed(differ)}: sort what you list, seed what is random."
    yield from sound(name, root / "one", card)


def sound(name: str, data_root: Path, card: Card) -> Iterator[str]:
    """A prepared set is as its manifest says, has the parts of its card, and can be learned from and measured."""
    yield from verify(name, data_root=data_root, workers=0)
    there = layout.load_manifest(data_root, name)["digests"]
    wanted = {"train": "train", "eval": "evaluation", "distractors": "database"}
    absent = [kind for kind in card.kind if wanted[kind] not in there]
    if absent:
        yield f"CARD.kind says {listed(absent)}, but the conversion wrote {listed(sorted(there))} only."
        return
    if "train" in card.kind:
        trainset = layout.load_train(data_root, name)
        counts = np.bincount(trainset.labels, minlength=trainset.classes)
        if trainset.classes < 2:
            yield f"the training part has {trainset.classes} class; nothing can be told apart."
        elif counts.max() < 2:
            yield "every class of the training part has one image: there is no positive to learn from."
    if "eval" in card.kind:
        truth = layout.load_eval(data_root, name).truth
        if not any(len(truth.at(level)[0].values) for level in truth.levels):
            yield "no query of the evaluation part has a positive: nothing can be measured."


def dataset_stages(name: str, options: Mapping[str, Any], tree: Path | None, root: Path) -> list[Stage]:
    """The contract of a dataset. `tree` is the user's download, `root` a folder to prepare in."""
    return [
        [("CARD", lambda: described(name))],
        [("conversion", lambda: prepared(name, options, tree, root))],
    ]
