"""A bench under a protocol with whitening, at 32 pixels: fitted on the training set, kept with the run, applied."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_bench import draw, finish, linked, make_places, write_categories

from vitret.compare import results, validation
from vitret.compare.asked import Places, Request
from vitret.compare.bench import bench
from vitret.compare.machine import Machine
from vitret.compare.work import missing_rows, needed_sets, resolve
from vitret.core.errors import DataError, UserError
from vitret.data.layout.write import LayoutWriter
from vitret.describe import whitening
from vitret.describe.cache import ls

pytestmark = pytest.mark.slow

CPU = Machine(device=torch.device("cpu"), precision="fp32", workers=1)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Sets `town` (train, with pairs), `classes` (train, labels only) and `test` (evaluation) of synthetic noise."""
    found = make_places(tmp_path / "places", track="none", suite="lw")
    suite(found, "lw", "{kind: lw, data: town}")
    images = draw(tmp_path / "drawn", patterns=12, views=3)
    with LayoutWriter(found.data, "town", workers=1) as writer:
        train(writer, images, pairs=np.array([[3 * c, 3 * c + 1] for c in range(12)]))
    with LayoutWriter(found.data, "classes", workers=1) as writer:
        train(writer, images)
    with LayoutWriter(found.data, "test", workers=1) as writer:
        write_categories(writer, images[:9], views=3)
    return found


def train(writer: LayoutWriter, images: list[Path], pairs: np.ndarray | None = None) -> None:
    writer.train(linked(writer, images), [i // 3 for i in range(len(images))], pairs=pairs)
    finish(writer)


def suite(places: Places, name: str, spec: str, scales: str = "[1.0]") -> None:
    (places.suites / f"{name}.yaml").write_text(
        f"name: {name}\nsets: [test]\nlevels: [all]\nmetrics: [mAP, R@1]\nprimary: mAP\n"
        "protocol:\n  {size: 32, size_rule: square, query_size: same_size, crop: none, "
        f"scales: {scales}, whitening: {spec}}}\n"
    )


def measured(places: Places, name: str) -> results.Result:
    work = resolve(places, Request(train_set="none", suite=name))
    (path,) = bench(places, work, machine=CPU, command="test", say=lambda _: None)
    assert not missing_rows(work, work.tasks[0])
    return results.read_result(path)


def artefacts(places: Places) -> list[Path]:
    return sorted(places.home.glob("runs/*/whitening/*.safetensors"))


def test_whitening_is_fitted_once_and_kept_with_the_run(places: Places):
    row = measured(places, "lw")
    (kept,) = artefacts(places)
    found = whitening.read(kept)
    assert (found.about["data"], found.about["images"]) == ("town", 36)
    assert "pairs" not in found.about
    assert row.data.whitening_manifest == found.about["data_digest"]
    assert row.protocol.whitening.kind == "lw"
    before = kept.stat().st_mtime_ns
    next(places.results.rglob("*.json")).unlink()
    assert measured(places, "lw").metrics == row.metrics
    assert artefacts(places)[0].stat().st_mtime_ns == before


def test_what_is_searched_is_whitened(places: Places):
    """One dimension of a PCA leaves a sign: the row is of that length, and worse than the bare one."""
    suite(places, "pca", "{kind: pca, data: town, dim: 1}")
    suite(places, "bare", "{kind: none}")
    whitened, bare = measured(places, "pca"), measured(places, "bare")
    assert (whitened.model.dim, whitened.cost.descriptor_bytes) == (1, 4)
    assert bare.model.dim == 64
    assert bare.data.whitening_manifest == ""
    assert whitened.metrics["mAP"].value < bare.metrics["mAP"].value


def test_one_scale_and_several_have_each_their_own(places: Places):
    suite(places, "scales", "{kind: lw, data: town}", scales="[1.0, 0.5]")
    measured(places, "lw")
    measured(places, "scales")
    assert len(artefacts(places)) == 2


def test_queries_are_described_at_their_own_scales(places: Places):
    suite(places, "apart", "{kind: none}", scales="[1.0], query_scales: [1.0, 0.5], aggregation: mean_raw")
    row = measured(places, "apart")
    found = [entry.card["key"]["protocol"] for entry in ls(places.home)]
    assert sorted(switches["scales"] for switches in found) == [[1.0], [1.0, 0.5]]
    assert {switches["aggregation"] for switches in found} == {"mean_raw"}
    assert row.protocol.query_scales == (1.0, 0.5)


def test_without_pairs_they_are_drawn_within_classes(places: Places):
    suite(places, "classes", "{kind: lw, data: classes}")
    measured(places, "classes")
    assert whitening.read(artefacts(places)[0]).about["pairs"] == "drawn within classes"


def test_a_row_does_not_stand_when_the_whitening_set_changes(places: Places, tmp_path: Path):
    measured(places, "lw")
    with LayoutWriter(places.data, "town", replace=True, workers=1) as writer:
        train(writer, sorted((tmp_path / "drawn").iterdir())[:30])
    work = resolve(places, Request(train_set="none"))
    assert missing_rows(work, work.tasks[0]) == ["test"]


def test_an_evaluation_set_is_refused_before_work_starts(places: Places):
    suite(places, "cheat", "{kind: pca, data: test}")
    with pytest.raises(UserError, match="must not be fitted on the evaluation set 'test'"):
        resolve(places, Request(train_set="none", suite="cheat"))


def test_a_set_that_is_not_there_is_named_with_the_command_that_mends_it(places: Places):
    suite(places, "absent", "{kind: pca, data: sfm120k}")
    with pytest.raises(DataError, match="vitret prepare sfm120k"):
        resolve(places, Request(train_set="none", suite="absent"))


def test_the_whitening_set_is_among_what_a_bench_needs(places: Places):
    assert "town" in needed_sets(places, ["none"])


def test_an_ablation_is_measured_as_rows_of_one_table(places: Places):
    (places.configs / "ablations").mkdir()
    (places.configs / "ablations" / "pool.yaml").write_text(
        "system: frozen\ntitle: Pooling\nchanges: [{title: mean, set: ['model.head={name: mean}']}]\n"
    )
    work = resolve(places, Request(train_set="none", ablation="pool"))
    rows = [
        results.read_result(p) for p in bench(places, work, machine=CPU, command="test", say=lambda _: None)
    ]
    assert [row.model.title for row in rows] == ["Frozen", "Frozen, mean"]
    assert [row.model.system for row in rows] == ["frozen", "frozen+mean"]
    assert len(artefacts(places)) == 2
    assert not list(validation.problems(places.results))
    with pytest.raises(UserError, match="Did you mean 'pool'"):
        resolve(places, Request(train_set="none", ablation="pol"))


def test_a_published_recipe_alone_is_measured_by_its_own_suite(places: Places):
    (places.configs / "published").mkdir()
    for name, own in (("x", "lw"), ("y", "pca")):
        suite(places, own, "{kind: none}")
        (places.configs / "published" / f"{name}.yaml").write_text(
            f"system:\n  name: {name}\n  title: X\n"
            "  model: {backbone: {name: timm_model, arch: test_vit, pretrained: false}, head: gem}\n"
            f"track: {{name: {name}, train_set: none, images_seen: 0, suite: {own}}}\n"
        )
    assert resolve(places, Request(train_set="none", published=["y"])).suite.name == "pca"
    assert resolve(places, Request(train_set="none", published=["y"], suite="lw")).suite.name == "lw"
    # Beside a system of the track both are measured alike.
    assert resolve(places, Request(train_set="none", systems=["frozen"], published=["y"])).suite.name == "lw"
    with pytest.raises(UserError, match="--suite lw"):
        resolve(places, Request(train_set="none", published=["x", "y"]))
