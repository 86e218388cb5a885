"""From one measurement to its row: every fact about network, training, data, protocol and machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vitret.compare import results
from vitret.compare.intervals import interval
from vitret.core.protocol import metric_key
from vitret.core.runs import code
from vitret.data import layout

if TYPE_CHECKING:
    from vitret.compare.machine import Machine
    from vitret.compare.work import Work
    from vitret.core.cost import NetworkCost
    from vitret.core.recipes import Recipe
    from vitret.core.records import Descriptors, EvalSet, ImageSet, Int64
    from vitret.describe.whitening import Whitening
    from vitret.measure.evaluate import Measurement
    from vitret.models.model import Retriever
    from vitret.models.reranking import Matcher


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A network as it is measured: what the protocol fits to it, its cost, and the seconds it was trained in this call.

    `start_sha256` is of the file of weights that its training started from, where that is known.
    """

    recipe: Recipe
    model: Retriever
    whitening: Whitening | None
    matcher: Matcher | None
    train_seconds: float | None
    start_sha256: str = ""
    cost: NetworkCost | None = None

    def facts(self) -> results.ModelFacts:
        """Name, parts, size and digest of the weights."""
        from vitret.models.model import model_digest

        system = self.recipe.system
        return results.ModelFacts(
            system=system.name,
            title=system.title,
            backbone=system.model.architecture,
            head=system.model.head.name,
            dim=self.model.dim,
            parameters=sum(p.numel() for p in self.model.parameters()),
            weights_sha256=model_digest(self.model),
            foreign=_foreign(self.model),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """One evaluation of one network, and the descriptors it was made from."""

    measurement: Measurement
    queries: Descriptors
    database: Descriptors
    distractors: Descriptors | None

    @property
    def failed(self) -> int:
        """How many images could not be read."""
        return sum(len(d.failed) for d in (self.queries, self.database, self.distractors) if d is not None)


def _foreign(model: Retriever) -> results.ForeignCode | None:
    """Where a network came from that is another project's."""
    found = getattr(model.backbone, "origin", None)
    return None if found is None else results.ForeignCode(**found)


def result_of(
    work: Work,
    network: Network,
    measured: Measured,
    *,
    facts: results.ModelFacts,
    name: str,
    machine: Machine,
    command: str,
) -> results.Result:
    """The row of one measurement; `name` is the evaluation set, with `+distractors` behind it or without."""
    suite = work.suite
    return results.Result(
        # What is searched may be shorter than what the network gives: whitening can leave dimensions out.
        model=facts.model_copy(update={"dim": measured.database.dim}),
        training=_training(work, network),
        data=_data(work, measured, name=name),
        suite=results.SuiteFacts(
            name=suite.name, primary=suite.primary, metrics=suite.metrics, levels=suite.levels
        ),
        protocol=suite.protocol,
        fingerprint=suite.protocol.fingerprint,
        metrics=_metrics(measured.measurement, work.evaluations[name.partition("+")[0]].groups),
        cost=results.Cost(
            descriptor_bytes=measured.database.dim * measured.database.rows.dtype.itemsize,
            train_seconds=network.train_seconds,
            network=network.cost,
        ),
        environment=_environment(machine),
        command=command,
        recipe=network.recipe,
        search=measured.measurement.search,
    )


def _training(work: Work, network: Network) -> results.TrainingFacts:
    recipe = network.recipe
    trained_on, part = work.training(recipe)
    return results.TrainingFacts(
        set=recipe.track.train_set,
        manifest=trained_on,
        subset=part,
        images_seen=0 if recipe.system.frozen else recipe.track.images_seen,
        start_sha256=network.start_sha256,
        seed=recipe.seed,
        budget=recipe.budget,
        pretraining=recipe.track.pretraining,
    )


def _data(work: Work, measured: Measured, *, name: str) -> results.DataFacts:
    plain, _, with_distractors = name.partition("+")
    evalset = work.evaluations[plain]
    distractors = work.distractors if with_distractors else None
    return results.DataFacts(
        set=plain,
        manifest=evalset.digest,
        image_set_version=str(evalset.card.get("image_set_version", "")),
        queries=len(evalset.queries),
        database=len(evalset.database),
        distractors=with_distractors or None,
        distractors_manifest=distractors.digest if distractors else "",
        distractor_images=len(measured.distractors) if measured.distractors is not None else 0,
        subset=_subset(evalset, distractors),
        whitening_manifest=work.whitening_source.digest if work.whitening_source else "",
        failed_images=measured.failed,
        warning=str(evalset.card.get("warning", "")),
    )


def _subset(evalset: EvalSet, distractors: ImageSet | None) -> str:
    """Which part of what is searched was prepared, in words; empty for all of it."""
    parts = [(one.name, layout.subset_of(one.card)) for one in (evalset, distractors) if one is not None]
    return "; ".join(f"{name}: {words}" for name, words in parts if words)


def _metrics(measurement: Measurement, groups: Int64 | None) -> dict[str, results.Metric]:
    found = {}
    for (level, metric), values in measurement.per_query.items():
        low, high = interval(values, groups)
        kept = values[~np.isnan(values)]
        found[metric_key(metric, level)] = results.Metric(
            value=float(kept.mean()),
            low=low,
            high=high,
            n=len(values),
            n_effective=len(kept),
        )
    return found


def _environment(machine: Machine) -> results.Environment:
    from vitret.describe.devices import device_label, pick_precision

    provenance = code()
    return results.Environment(
        device=device_label(machine.device),
        precision=pick_precision(machine.precision, machine.device),
        search_engine=machine.engine,
        commit=provenance["commit"],
        dirty=provenance["dirty"],
        versions=provenance["versions"],
    )
