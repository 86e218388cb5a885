"""The speed script runs at a tiny size on a CPU, as it will on a GPU at DToP's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "speed" / "train.py"


@pytest.mark.slow
def test_it_times_the_loop_and_the_bare_step_in_alternating_blocks():
    sizes = ["--size", "32", "--batch", "4", "--images", "20", "--classes", "8"]
    sizes += ["--block", "3", "--rounds", "2", "--warm", "1"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *sizes], capture_output=True, text=True, check=True, timeout=200
    )
    found = json.loads(done.stdout)
    assert {len(blocks) for blocks in found["seconds_of_a_block"].values()} == {2}
    assert all(rate > 0 for rate in found["images_per_second_on_the_clock"].values())
    assert found["share_of_bare_step"] > 0
    assert found["seconds_of_a_step"]["backward"] > 0
    assert 0 < found["share_of_data"] < 1
    assert found["share_of_bare_step_without_data"] > found["share_of_bare_step"]
    assert found["operations_per_image"] > 0
