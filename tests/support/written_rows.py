"""Rows made from ranks that a test chooses, written as `vitret bench` writes them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vitret.compare import results
from vitret.compare.groups import groups_path, write_groups
from vitret.compare.intervals import interval
from vitret.core.networks import ModelSpec, Part
from vitret.core.protocol import Protocol, metric_key
from vitret.core.recipes import LossSpec, Recipe, System, Track
from vitret.core.records import Ranks
from vitret.measure.evaluate import measure

Write = Callable[..., Path]


def first_ranks(ranks: Sequence[int]) -> Ranks:
    """One positive a query, at the given rank."""
    return Ranks.of([[r] for r in ranks], np.ones(len(ranks), dtype=np.int64))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write one row below tmp_path/results: `write("gem", [0, 3, 1])`."""

    def write_row(
        system: str,
        ranks: Sequence[int] | Ranks | Mapping[str, Ranks],
        *,
        seed: int = 0,
        train_set: str = "town",
        eval_set: str = "east",
        distractors: str | None = None,
        protocol: Protocol | None = None,
        budget: str = "track",
        manifest: str = "m",
        lr: float = 1e-4,
        images_seen: int = 64,
        warning: str = "",
        trained_on: str = "t",
        pretrained: bool = False,
        trained_part: str = "",
        searched_part: str = "",
        left_out: str = "",
        folder: str = "results",
    ) -> Path:
        protocol = protocol or Protocol()
        if isinstance(ranks, Mapping):
            levels = dict(ranks)
        else:
            every = ranks if isinstance(ranks, Ranks) else first_ranks(ranks)
            levels = {"medium": every, "hard": every}
        measured = measure(levels, ["mAP", "mP@10"])
        recipe = Recipe(
            system=System(
                name=system,
                title=system.upper(),
                model=ModelSpec(
                    backbone=Part(
                        name="timm_model",
                        options={"arch": "test_vit", **({"pretrained": True} if pretrained else {})},
                    ),
                    head=Part(name="gem"),
                ),
                losses=(LossSpec(name="arcface"),) if trained_on else (),
                optimiser={"lr": lr},
            ),
            track=Track(name=train_set, train_set=train_set, images_seen=images_seen, pretraining="none"),
            seed=seed,
            budget=budget,
            exclude={"images": 2, "digest": left_out} if left_out and trained_on else None,
        )
        result = results.Result(
            model=results.ModelFacts(
                system=system,
                title=system.upper(),
                backbone="test_vit",
                head="gem",
                dim=64,
                parameters=10,
                weights_sha256="w",
            ),
            training=results.TrainingFacts(
                set=train_set,
                manifest=trained_on,
                subset=trained_part,
                images_seen=images_seen if trained_on else 0,
                seed=seed,
                budget=budget,
                pretraining="none",
            ),
            data=results.DataFacts(
                set=eval_set,
                manifest=manifest,
                image_set_version="1",
                queries=len(levels["hard"]),
                database=9,
                distractors=distractors,
                distractors_manifest="d" if distractors else "",
                distractor_images=5 if distractors else 0,
                whitening_manifest="" if protocol.whitening.kind == "none" else "w",
                warning=warning,
                subset=searched_part,
            ),
            suite=results.SuiteFacts(
                name="s", primary="mAP (hard)", metrics=("mAP", "mP@10"), levels=("medium", "hard")
            ),
            protocol=protocol,
            fingerprint=protocol.fingerprint,
            metrics=metrics_of(measured.per_query),
            cost=results.Cost(descriptor_bytes=256),
            environment=results.Environment(
                device="cpu", precision="fp32", search_engine="numpy", commit="c", dirty=False, versions={}
            ),
            command="vitret bench",
            recipe=recipe,
        )
        place = groups_path(tmp_path / folder, eval_set, manifest)
        if not place.is_file():
            _keep(tmp_path / folder, range(len(levels["hard"])), None, name=eval_set, manifest=manifest)
        return results.write_result(tmp_path / folder, result, levels)

    return write_row


def keep_groups(
    root: Path, numbers: Sequence[int], *, rule: str = "by label", name: str = "east", manifest: str = "m"
) -> Path:
    """Groups of the queries of a set, kept below a results folder as `vitret bench` keeps them."""
    path = groups_path(root, name, manifest)
    path.unlink(missing_ok=True)
    _keep(root, numbers, rule, name=name, manifest=manifest)
    return path


def _keep(root: Path, numbers: Sequence[int], rule: str | None, *, name: str, manifest: str) -> None:
    groups = None if rule is None else np.array(numbers)
    queries = SimpleNamespace(name=name, digest=manifest, queries=numbers, groups=groups, groups_rule=rule)
    write_groups(root, queries)


def metrics_of(per_query: Mapping[tuple[str, str], np.ndarray]) -> dict[str, results.Metric]:
    found = {}
    for (level, metric), values in per_query.items():
        low, high = interval(values)
        found[metric_key(metric, level)] = results.Metric(
            value=float(np.nanmean(values)),
            low=low,
            high=high,
            n=len(values),
            n_effective=int((~np.isnan(values)).sum()),
        )
    return found
