import subprocess
import sys
from pathlib import Path

import pytest

from vitret.core.errors import DataError
from vitret.core.locks import locked
from vitret.core.networks import ModelSpec, Part
from vitret.core.recipes import Recipe, System, Track
from vitret.core.runs import code, find_run, open_run, run_names


def _recipe(seed: int = 0) -> Recipe:
    model = ModelSpec(backbone=Part(name="timm_model", options={"arch": "test_vit"}), head=Part(name="cls"))
    track = Track(name="toy", train_set="toy", images_seen=8)
    return Recipe(system=System(name="s", title="S", model=model), track=track, seed=seed)


def test_a_run_keeps_its_recipe_and_its_code(tmp_path: Path):
    run = open_run(tmp_path, _recipe())
    assert run.recipe() == _recipe()
    assert run.code()["versions"]["numpy"]
    assert not run.finished
    assert run_names(tmp_path) == [run.id]
    assert open_run(tmp_path, _recipe()) == run


def test_a_run_is_found_by_a_unique_beginning(tmp_path: Path):
    run = open_run(tmp_path, _recipe())
    assert find_run(tmp_path, run.id[:-3]) == run
    open_run(tmp_path, _recipe(seed=1))
    with pytest.raises(DataError, match="begins several runs"):
        find_run(tmp_path, "toy")
    with pytest.raises(DataError, match="There is no run"):
        find_run(tmp_path, "nothing")


def test_a_run_holds_to_the_bytes_it_learned_from(tmp_path: Path):
    run = open_run(tmp_path, _recipe())
    run.require_data("toy", "ten shards")  # nothing is recorded yet
    run.record_data("toy", "ten shards")
    run.record_data("toy", "ten shards")
    with pytest.raises(DataError, match=r"trained on other bytes of toy.*ten shards.*all shards.*\n?mv "):
        run.record_data("toy", "all shards")


def test_a_lock_is_waited_for_and_freed_by_death(tmp_path: Path):
    hold = (
        "import sys, time\nfrom pathlib import Path\nfrom vitret.core.locks import locked\n"
        "with locked(Path(sys.argv[1]), print):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    lock = tmp_path / "run.lock"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(lock)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said: list[str] = []

        def say(text: str) -> None:
            said.append(text)
            holder.kill()

        with locked(lock, say):
            pass
    assert len(said) == 1
    assert "waiting" in said[0]


def test_provenance_names_commit_and_versions():
    assert set(code()) == {"commit", "dirty", "versions"}
