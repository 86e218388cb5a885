"""A bench shows nothing that was made from other weights, photographs or ranks than those that are here now."""

import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from small_bench import finish, linked, make_places, write_categories, write_town

from vitret.cli.bench import do
from vitret.compare import results, validation
from vitret.compare.asked import Places, Request
from vitret.compare.bench import bench
from vitret.compare.machine import Machine
from vitret.compare.plan import plan
from vitret.compare.work import missing_rows, resolve
from vitret.core.errors import DataError
from vitret.core.runs import Run
from vitret.data.layout.write import LayoutWriter
from vitret.models.backbones.timm_model import timm

pytestmark = pytest.mark.slow

CPU = Machine(device=torch.device("cpu"), precision="fp32", workers=0)
PROTOCOL = "{size: 32, size_rule: square, query_size: same_size, crop: none"


def weights(path: Path, seed: int) -> None:
    """Weights of timm's smallest transformer: always of the same size."""
    path.parent.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    made = timm.create_model("test_vit", num_classes=0, img_size=32).state_dict()
    safetensors.torch.save_file(
        {name: value + 0.3 * torch.randn_like(value) for name, value in made.items()}, path
    )


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Sets `town` (train) and `test`, a frozen system `still` and a trained one `moved`, both from the same file."""
    monkeypatch.setenv("VITRET_WEIGHTS", str(tmp_path / "w"))
    found = make_places(tmp_path / "places", track="town", suite="plain")
    weights(tmp_path / "w" / "test_vit.safetensors", 0)
    images = write_town(found, tmp_path / "drawn")
    with LayoutWriter(found.data, "others", workers=1) as writer:
        writer.distractors(linked(writer, images[18:]))
        finish(writer)
    model = "model: {backbone: {name: timm_model, arch: test_vit, img_size: 32}, head: gem}\n"
    (found.configs / "systems" / "still.yaml").write_text(f"name: still\ntitle: Still\n{model}")
    (found.configs / "systems" / "moved.yaml").write_text(
        f"name: moved\ntitle: Moved\n{model}losses: [{{name: arcface}}]\noptimiser: {{lr: 1.0e-3}}\n"
    )
    (found.configs / "tracks" / "town.yaml").write_text(
        "name: town\ntrain_set: town\nimages_seen: 16\nseeds: [0]\nbatch: 8\nvalidation: 0\nsuite: plain\n"
        "image: {policy: square, size: 32}\nsystems: [still]\n"
    )
    (found.suites / "plain.yaml").write_text(
        f"name: plain\nsets: [test]\nlevels: [all]\nmetrics: [mAP, R@1]\nprimary: mAP\nprotocol: {PROTOCOL}}}\n"
    )
    return found


def run(places: Places, system: str = "still", suite: str = "plain") -> tuple[results.Result, list[str], int]:
    """The row after a bench, what was said, and how many rows were written."""
    said: list[str] = []
    work = resolve(places, Request(train_set="town", systems=[system], suite=suite, seeds=1))
    written = bench(places, work, machine=CPU, command="test", say=said.append)
    (path,) = work.tasks[0].rows.values()
    assert not missing_rows(
        resolve(places, Request(train_set="town", systems=[system], suite=suite, seeds=1)), work.tasks[0]
    )
    assert list(validation.problems(places.results)) == []
    return results.read_result(path), said, len(written)


@pytest.mark.slow
def test_replaced_weights_are_other_weights(places: Places, tmp_path: Path):
    first, _, _ = run(places)
    assert run(places)[2] == 0
    weights(tmp_path / "w" / "test_vit.safetensors", 1)
    assert "its weights were replaced" in plan(places, Request(train_set="town"))[0]
    second, said, written = run(places)
    assert written == 1
    assert any("other weights" in line for line in said)
    assert second.model.weights_sha256 != first.model.weights_sha256
    assert second.metrics["mAP"] != first.metrics["mAP"]
    weights(tmp_path / "w" / "test_vit.safetensors", 0)
    third, _, _ = run(places)
    assert (third.metrics, third.model) == (first.metrics, first.model)


def test_weights_of_the_same_size_and_time_are_other_weights(places: Places, tmp_path: Path):
    file = tmp_path / "w" / "test_vit.safetensors"
    first, _, _ = run(places)
    before = file.stat()
    weights(file, 1)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert run(places)[0].model.weights_sha256 != first.model.weights_sha256


def test_a_file_that_is_now_found_first_counts(places: Places, tmp_path: Path):
    first, _, _ = run(places)
    weights(tmp_path / "w" / "test_vit.r160_in1k.safetensors", 1)
    assert run(places)[0].model.weights_sha256 != first.model.weights_sha256


def test_without_weights_on_this_machine_a_row_stands_as_measured(places: Places, tmp_path: Path):
    first, _, _ = run(places)
    (tmp_path / "w" / "test_vit.safetensors").unlink()
    again, _, written = run(places)
    assert (again, written) == (first, 0)
    for file in (places.home / "runs").rglob("checkpoint.safetensors"):
        file.unlink()
    assert run(places)[2] == 0


@pytest.mark.slow
def test_another_checkpoint_in_the_run_is_measured(places: Places, tmp_path: Path):
    first, _, _ = run(places, "moved")
    assert run(places, "moved")[2] == 0
    (folder,) = (places.home / "runs").iterdir()
    from vitret.models.model import load_model, save_model

    model, spec = load_model(Run(path=folder).checkpoint)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    save_model(Run(path=folder).checkpoint, model, spec)
    second, _, written = run(places, "moved")
    assert written == 1
    assert second.model.weights_sha256 != first.model.weights_sha256


@pytest.mark.slow
def test_a_run_is_not_shown_as_trained_from_weights_that_replaced_its_start(places: Places, tmp_path: Path):
    run(places, "moved")
    weights(tmp_path / "w" / "test_vit.safetensors", 1)
    with pytest.raises(DataError, match=r"trained from other weights than .*test_vit.safetensors.*mv "):
        run(places, "moved")
    (folder,) = (places.home / "runs").iterdir()
    folder.rename(folder.with_name(f"{folder.name}.before"))
    assert run(places, "moved")[2] == 1


@pytest.mark.parametrize("name", ["0-0.png", "9-0.png"])
def test_replaced_photographs_end_the_bench_before_any_work(places: Places, tmp_path: Path, name: str):
    """One of the evaluation; one of the distractors and of what is learned from."""
    (places.suites / "far.yaml").write_text(
        "name: far\nsets: [test]\ndistractors: others\nlevels: [all]\nmetrics: [mAP]\nprimary: mAP\n"
        f"protocol: {PROTOCOL}}}\n"
    )
    Image.new("RGB", (32, 32)).save(tmp_path / "drawn" / name)
    with pytest.raises(DataError, match=r"1 image has other bytes.*vitret prepare"):
        resolve(places, Request(train_set="town", systems=["still"], suite="far"))
    if name == "9-0.png":
        with pytest.raises(DataError, match="town: 1 image has other bytes"):
            resolve(places, Request(train_set="town", systems=["moved"]))


def test_replaced_photographs_of_a_whitening_end_the_bench(places: Places, tmp_path: Path):
    (places.suites / "white.yaml").write_text(
        "name: white\nsets: [test]\nlevels: [all]\nmetrics: [mAP]\nprimary: mAP\n"
        f"protocol: {PROTOCOL}, whitening: {{kind: pca, data: town}}}}\n"
    )
    Image.new("RGB", (32, 32)).save(tmp_path / "drawn" / "9-0.png")
    with pytest.raises(DataError, match="town: 1 image has other bytes"):
        resolve(places, Request(train_set="town", systems=["still"], suite="white"))


@pytest.mark.slow
def test_a_row_of_images_that_could_not_be_read_is_measured_when_they_are_back(
    places: Places, tmp_path: Path
):
    photo = tmp_path / "drawn" / "0-0.png"
    photo.rename(photo.with_suffix(".away"))
    said = resolve(places, Request(train_set="town"))
    bench(places, said, machine=CPU, command="test", say=lambda _: None)
    (path,) = said.tasks[0].rows.values()
    assert results.read_result(path).data.failed_images == 2  # as query and in the database
    photo.with_suffix(".away").rename(photo)
    row, _, written = run(places)
    assert (row.data.failed_images, written) == (0, 1)


def test_ranks_of_one_measurement_never_lie_beside_the_row_of_another(places: Places, monkeypatch):
    row, _, _ = run(places)
    path = results.path_of(places.results, row)
    monkeypatch.setattr(results, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        results.write_result(places.results, row, results.read_ranks(path))
    assert not path.exists()


@pytest.mark.slow
def test_a_row_of_another_manifest_does_not_stand(places: Places, tmp_path: Path):
    first, _, _ = run(places)
    with LayoutWriter(places.data, "test", replace=True, workers=1) as writer:
        write_categories(writer, sorted((tmp_path / "drawn").iterdir())[:12], views=3)
    second, _, written = run(places)
    assert written == 1
    assert second.data.manifest != first.data.manifest
    assert np.isclose(second.data.database, 12)


@pytest.mark.parametrize(
    "loss", [Path.unlink, lambda path: path.write_text('{"set": "te')], ids=["lost", "damaged"]
)
def test_groups_that_are_lost_or_damaged_are_written_again_where_every_row_is_there(places: Places, loss):
    run(places)
    (groups,) = (places.results / "groups").iterdir()
    before = groups.read_bytes()
    loss(groups)
    work = resolve(places, Request(train_set="town", systems=["still"], suite="plain", seeds=1))
    assert not missing_rows(work, work.tasks[0])
    do(places, work, machine=CPU)
    assert groups.read_bytes() == before


@pytest.mark.parametrize("continued", [False, True])
def test_a_row_tells_the_time_of_a_whole_training_only(places: Places, continued: bool):
    work = resolve(places, Request(train_set="town", systems=["moved"], suite="plain", seeds=1))
    if continued:
        Run.of(places.home, work.tasks[0].recipe.run_id).state.mkdir(parents=True)
    row, *_ = run(places, "moved")
    assert (row.cost.train_seconds is None) is continued
