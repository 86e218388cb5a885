"""A bench on a real SLURM: four runs, one of them requeued while it trains, give the rows that the plain bench gives.

Skipped where there is no SLURM that answers. A controller and a node on one machine, from Debian's packages, as root:

    apt-get install slurm-wlm munge && service munge start
    printf '%s\n' ClusterName=here SlurmctldHost=$(hostname -s) ProctrackType=proctrack/linuxproc \
        ReturnToService=2 JobRequeue=1 "NodeName=$(hostname -s) CPUs=$(nproc) State=UNKNOWN" \
        "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP" > /etc/slurm/slurm.conf
    slurmctld && slurmd && sinfo
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from small_bench import make_places, write_town

from vitret.compare.asked import Places


def _answers() -> bool:
    if shutil.which("sbatch") is None or shutil.which("sinfo") is None:
        return False
    return subprocess.run(["sinfo"], capture_output=True, check=False, timeout=30).returncode == 0


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not _answers(), reason="no SLURM answers here")]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A system that trains for some seconds on the set `town`, measured on `test`."""
    found = make_places(tmp_path / "places", track="town", suite="plain")
    write_town(found, tmp_path / "drawn")
    (found.configs / "systems" / "learner.yaml").write_text(
        "name: learner\ntitle: Learner\nlosses: [{name: arcface}]\noptimiser: {lr: 1.0e-3}\n"
        "model: {backbone: {name: timm_model, arch: test_vit, pretrained: false, img_size: 32}, head: gem}\n"
    )
    (found.configs / "tracks" / "town.yaml").write_text(
        "name: town\ntrain_set: town\nimages_seen: 16000\nbatch: 8\nvalidation: 0\nsuite: plain\n"
        "image: {policy: square, size: 32}\nsystems: [learner]\nseeds: [0, 1, 2, 3]\n"
    )
    (found.suites / "plain.yaml").write_text(
        "name: plain\nsets: [test]\nlevels: [all]\nmetrics: [mAP, R@1]\nprimary: mAP\n"
        "protocol: {size: 32, size_rule: square, query_size: same_size, crop: none}\n"
    )
    return found


def bench(places: Places, home: Path, *options: str) -> dict[str, object]:
    """What the rows of a bench in a home of its own say of numbers and weights."""
    folders = {"--home": home, "--results": home / "results", "--data": places.data}
    folders |= {"--configs": places.configs, "--suites": places.suites}
    words = [word for option, folder in folders.items() for word in (option, str(folder))]
    command = [sys.executable, "-m", "vitret", "bench", "--train-set", "town", "--device", "cpu"]
    done = subprocess.run(
        [*command, *options, *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(path.read_text()) for path in sorted((home / "results").rglob("*.json"))]
    return {row["training"]["seed"]: (row["metrics"], row["model"], row["ranks_sha256"]) for row in rows}


def test_rows_are_those_of_the_plain_bench_also_after_a_requeue(places: Places, tmp_path: Path):
    plain = bench(places, tmp_path / "plain")
    assert sorted(plain) == [0, 1, 2, 3]
    folder = tmp_path / "slurm" / "jobs" / "slurm"

    def requeue() -> None:
        """Requeue the first job once its run has begun to train."""
        until = time.monotonic() + 300
        while time.monotonic() < until:
            records = sorted(folder.glob("town-learner-*.json"))
            begun = [r for r in records if (tmp_path / "slurm" / "runs" / r.stem / "log.jsonl").is_file()]
            if begun:
                number = json.loads(begun[0].read_text())["job"]
                subprocess.run(["scontrol", "requeue", number], check=True)
                return
            time.sleep(0.2)

    helper = threading.Thread(target=requeue)
    helper.start()
    spread = bench(places, tmp_path / "slurm", "--launcher", "slurm", "--slurm", "timeout_min=30")
    helper.join()
    assert spread == plain
