"""A linear head on a frozen network is benched like any system, and its row says what it learned from."""

from pathlib import Path

import pytest
import torch
from small_bench import make_places, write_town

from vitret.compare.asked import Places, Request
from vitret.compare.bench import bench
from vitret.compare.machine import Machine
from vitret.compare.plan import plan
from vitret.compare.results import read_result
from vitret.compare.tables import read_all, tables
from vitret.compare.work import resolve
from vitret.models.model import load_model
from vitret.pages.verdict import seen

pytestmark = pytest.mark.slow

REQUEST = Request(train_set="town", systems=("frozen", "adapted"), seeds=1)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Twelve patterns of three views; `adapted` learns a head on the network that `frozen` is."""
    found = make_places(tmp_path / "places", track="town", suite="own")
    (found.suites / "own.yaml").write_text(
        "name: own\nsets: [test]\nlevels: [all]\nmetrics: [mAP]\nprimary: mAP\n"
        "protocol: {size: 32, size_rule: square, query_size: same_size, crop: none}\n"
    )
    (found.configs / "tracks" / "town.yaml").write_text(
        "name: town\ntrain_set: town\nimages_seen: 60\nbatch: 6\nvalidation: 0.0\nsuite: own\nsystems: [frozen]\n"
        "image: {size: 32, crop_area: [0.5, 1.0]}\n"
    )
    frozen = (found.configs / "systems" / "frozen.yaml").read_text()
    (found.configs / "systems" / "adapted.yaml").write_text(
        frozen.replace("name: frozen\ntitle: Frozen", "name: adapted\ntitle: Adapted").replace(
            "head: gem}", "head: {name: linear, base: gem}}"
        )
        + "losses: [proxy_anchor]\noptimiser: {lr: 0.01}\ntrain_on: descriptors\n"
    )
    write_town(found, tmp_path / "drawn")
    return found


def test_an_adapted_network_has_a_row_that_says_what_it_learned_from(places: Places):
    planned = plan(places, REQUEST)
    assert any("train on 60 descriptors, then measure test" in line for line in planned)
    # Queries and database of both, and the training images once.
    assert any(line.startswith(f"Images to describe: at most {2 * 36 + 18};") for line in planned)
    machine = Machine(device=torch.device("cpu"), precision="fp32", workers=0)
    work = resolve(places, REQUEST)
    written = bench(places, work, machine=machine, command="test", say=print)
    rows = {row.model.system: row for row in map(read_result, written)}
    assert rows["adapted"].training.images_seen == 60
    assert rows["adapted"].recipe.system.train_on == "descriptors"
    assert rows["adapted"].model.head == "linear"
    (table,) = tables(read_all(places.results))
    assert {row.system: seen(row) for row in table.rows} == {
        "frozen": "frozen",
        "adapted": "60 not augmented",
    }
    runs = {task.recipe.system.name: places.home / "runs" / task.recipe.run_id for task in work.tasks}
    adapted, frozen = (load_model(runs[name] / "checkpoint.safetensors")[0] for name in ("adapted", "frozen"))
    for name, value in frozen.backbone.state_dict().items():
        assert torch.equal(adapted.backbone.state_dict()[name], value), name
    assert not torch.allclose(adapted.head.linear.weight, torch.eye(adapted.dim), atol=1e-3)
    assert bench(places, resolve(places, REQUEST), machine=machine, command="test", say=print) == []
