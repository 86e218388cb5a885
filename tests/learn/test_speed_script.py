"""The speed script runs at a tiny size on a CPU, as it will on a GPU at DToP's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "speed" / "train.py"


@pytest.mark.slow
def test_it_prints_both_rates_and_their_ratio():
    sizes = [
        "--size",
        "32",
        "--batch",
        "4",
        "--images",
        "20",
        "--classes",
        "8",
        "--steps",
        "4",
        "--warm",
        "1",
    ]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *sizes], capture_output=True, text=True, check=True, timeout=200
    )
    found = json.loads(done.stdout)
    assert all(rate > 0 for rate in found["images_per_second"].values())
    assert found["share_of_bare"] > 0
