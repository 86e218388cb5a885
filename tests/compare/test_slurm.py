"""A bench on a real SLURM: of four runs one is killed and requeued, one pre-empted; rows are those of the plain bench.

The controller and the node are started here, in a folder of their own (`support/one_node_slurm.py`). Skipped where
SLURM's programs are not installed: apt-get install slurmctld slurmd munge slurm-client
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from one_node_slurm import installed, one_node_slurm
from small_bench import make_places, write_town

from vitret.compare.asked import Places

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not installed(), reason="no SLURM installed here")]


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    with one_node_slurm(tmp_path / "cluster") as environment:
        yield environment


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A system that trains on `town` for half a minute, so that jobs can be disturbed, and is measured on `test`."""
    found = make_places(tmp_path / "places", track="town", suite="plain")
    write_town(found, tmp_path / "drawn")
    (found.configs / "systems" / "learner.yaml").write_text(
        "name: learner\ntitle: Learner\nlosses: [{name: arcface}]\noptimiser: {lr: 1.0e-3}\n"
        "model: {backbone: {name: timm_model, arch: test_vit, pretrained: false, img_size: 32}, head: gem}\n"
    )
    (found.configs / "tracks" / "town.yaml").write_text(
        "name: town\ntrain_set: town\nimages_seen: 6400\nbatch: 8\nvalidation: 0\nsuite: plain\n"
        "image: {policy: square, size: 32}\nsystems: [learner]\nseeds: [0, 1, 2, 3]\n"
    )
    (found.suites / "plain.yaml").write_text(
        "name: plain\nsets: [test]\nlevels: [all]\nmetrics: [mAP, R@1]\nprimary: mAP\n"
        "protocol: {size: 32, size_rule: square, query_size: same_size, crop: none}\n"
    )
    return found


def bench(places: Places, home: Path, *options: str, environment: Mapping[str, str]) -> dict[int, object]:
    """What the rows of a bench in a home of its own say of numbers and weights, by seed."""
    folders = {"--home": home, "--results": home / "results", "--data": places.data}
    folders |= {"--configs": places.configs, "--suites": places.suites}
    words = [word for option, folder in folders.items() for word in (option, str(folder))]
    command = [sys.executable, "-m", "vitret", "bench", "--train-set", "town", "--device", "cpu"]
    done = subprocess.run(
        [*command, *options, *words],
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(path.read_text()) for path in sorted((home / "results" / "town").rglob("*.json"))]
    return {row["training"]["seed"]: (row["metrics"], row["model"], row["ranks_sha256"]) for row in rows}


@pytest.mark.timeout(2400)
def test_rows_are_those_of_the_plain_bench_also_when_jobs_are_killed(
    places: Places, slurm: Mapping[str, str], tmp_path: Path
):
    plain = bench(places, tmp_path / "plain", environment=os.environ)
    assert sorted(plain) == [0, 1, 2, 3]
    home = tmp_path / "spread"

    def disturb() -> dict[str, str]:
        """Kill and requeue the first job that trains, then let an urgent job take the node from another; all jobs."""
        _wait(lambda: _training(home))
        first = _training(home)[0]
        jobs = _jobs(home)
        subprocess.run(["scontrol", "requeue", jobs[first]], env=slurm, check=True)
        _wait(lambda: set(_training(home)) - {first})
        urgent = ["sbatch", "--partition=urgent", "--ntasks=2", "--output=/dev/null", "--wrap=sleep 1"]
        subprocess.run(urgent, env=slurm, check=True, capture_output=True)
        return jobs

    options = ["--launcher", "slurm", "--slurm", "timeout_min=30", "--slurm", "partition=all"]
    with ThreadPoolExecutor(1) as beside:
        disturbed = beside.submit(disturb)
        spread = bench(places, home, *options, environment=slurm)
        jobs = disturbed.result()
    assert spread == plain
    logs = [log.read_text() for log in (home / "jobs").glob("*.log")]
    assert any("continues after step" in log for log in logs)
    restarts = {run: _restarts(number, slurm) for run, number in jobs.items()}
    assert sum(restarts.values()) >= 2, restarts


def _training(home: Path) -> list[str]:
    """The runs that have begun to train."""
    return [log.parent.name for log in sorted((home / "runs").glob("*/log.jsonl"))]


def _jobs(home: Path) -> dict[str, str]:
    """SLURM's numbers of the jobs, by run."""
    records = (home / "jobs" / "slurm").glob("town-*.json")
    return {record.stem: json.loads(record.read_text())["job"] for record in records}


def _restarts(number: str, slurm: Mapping[str, str]) -> int:
    shown = subprocess.run(
        ["scontrol", "show", "job", number], env=slurm, check=True, capture_output=True, text=True
    )
    found = re.search(r"Restarts=(\d+)", shown.stdout)
    assert found is not None
    return int(found[1])


def _wait(happened: Callable[[], object]) -> None:
    until = time.monotonic() + 1200
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.2)
