"""A bench as jobs: one a run, side by side or on a cluster; what is told to stop saves its state and continues."""

import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from small_bench import draw, make_places, write_categories

from vitret.compare.asked import Request
from vitret.compare.jobs import Job, divided, jobs_of, run_side_by_side
from vitret.compare.work import resolve
from vitret.core.errors import MachineError, UserError
from vitret.data.layout.write import LayoutWriter

# Ends at once where it was stopped before, as a run does that continues.
_STOPPABLE = """
import os, pathlib, signal, sys, time
place = pathlib.Path(sys.argv[1])
def stop(*_):
    (place / "saved").touch()
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
if (place / "saved").exists():
    print("continued")
    sys.exit(0)
(place / "starting").write_text(str(os.getppid()))
(place / "starting").rename(place / "ready")
time.sleep(240)
"""


@dataclass(frozen=True, kw_only=True)
class Stoppable(Job):
    """A job that waits until it is told to stop."""

    place: str

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-c", _STOPPABLE, self.place]


def stoppable(folder: Path) -> Stoppable:
    return Stoppable(run="r", words=(), log=folder / "r.log", place=str(folder))


def wait_for(path: Path) -> None:
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until, f"{path} does not come"
        time.sleep(0.05)


def test_a_job_is_the_bench_of_one_run(tmp_path: Path):
    places = make_places(tmp_path / "places", track="none", suite="own")
    (places.suites / "own.yaml").write_text(
        "name: own\nsets: [test]\nlevels: [all]\nmetrics: [mAP]\nprimary: mAP\nprotocol: {size: 32}\n"
    )
    with LayoutWriter(places.data, "test", workers=1) as writer:
        write_categories(writer, draw(tmp_path / "drawn", patterns=3, views=2), views=2)
    request = Request(train_set="none", seeds=2)
    work = resolve(places, request)
    jobs = jobs_of([work, work], request, dims=(), options=["--device", "cpu"], logs=tmp_path)
    runs = [task.recipe.run_id for task in work.tasks]
    assert len(runs) == 2  # random weights: two seeds are two networks
    assert [job.run for job in jobs] == runs
    words = ("bench", "--train-set", "none", "--seeds", "2", "--device", "cpu", "--run", runs[1])
    assert jobs[1].words == words
    one = resolve(places, Request(train_set="none", seeds=2, runs=[runs[1]]))
    assert [task.recipe.run_id for task in one.tasks] == [runs[1]]
    with pytest.raises(UserError, match="Did you mean 'none-frozen-s0-"):
        resolve(places, Request(train_set="none", runs=["none-frozen-s0-00000000"]))


def test_devices_and_cores_are_divided():
    assert divided([], 8, 3) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert [one["CUDA_VISIBLE_DEVICES"] for one in divided(["4", "7"], 8, 3)] == ["4", "7", "4"]
    assert divided(["0"], 1, 2)[1]["OMP_NUM_THREADS"] == "1"


def test_jobs_run_side_by_side_and_a_failed_one_is_named(tmp_path: Path):
    good = [Job(run=f"g{i}", words=("--version",), log=tmp_path / "logs" / f"{i}.log") for i in range(2)]
    bad = Job(run="bad", words=("explain", "nothing"), log=tmp_path / "logs" / "bad.log")
    said: list[str] = []
    assert run_side_by_side([good[0], bad, good[1]], divided([], 2, 2), said.append) == [bad]
    assert "vitret " in good[1].log.read_text()
    assert "nothing" in bad.log.read_text()
    assert any(line.startswith("bad: ended with 2") for line in said)
    assert sum("done in" in line for line in said) == 2


def test_an_interruption_is_passed_on_and_waited_for(tmp_path: Path):
    def interrupt(_: str) -> None:
        threading.Thread(
            target=lambda: (wait_for(tmp_path / "ready"), signal.raise_signal(signal.SIGINT))
        ).start()

    with pytest.raises(KeyboardInterrupt):
        run_side_by_side([stoppable(tmp_path)], divided([], 1, 1), interrupt)
    assert (tmp_path / "saved").exists()
    assert run_side_by_side([stoppable(tmp_path)], divided([], 1, 1), lambda _: None) == []
    assert "continued" in (tmp_path / "r.log").read_text()


@pytest.mark.slow
def test_a_job_that_is_preempted_saves_and_is_requeued(tmp_path: Path):
    """By submitit's executor of processes on this machine: its signal, its requeue, without the queue."""
    pytest.importorskip("submitit")
    import cloudpickle

    from vitret.compare.cluster import run_on_cluster

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    folder = tmp_path / "jobs"

    def preempt() -> None:
        wait_for(tmp_path / "ready")
        # What SLURM would tell before it ends the job is told to the process that started the command.
        os.kill(int((tmp_path / "ready").read_text()), signal.SIGUSR2)

    threading.Thread(target=preempt).start()
    said: list[str] = []
    failed = run_on_cluster(
        [stoppable(tmp_path)], folder=folder, options={}, say=said.append, cluster="local"
    )
    assert failed == []
    assert (tmp_path / "saved").exists()
    assert "continued" in (tmp_path / "r.log").read_text()
    assert said[-1] == "r: done"
    assert not (folder / "r.json").exists()


@pytest.mark.slow
def test_a_job_that_fails_on_a_cluster_is_named(tmp_path: Path):
    pytest.importorskip("submitit")
    from vitret.compare.cluster import run_on_cluster

    bad = Job(run="bad", words=("explain", "nothing"), log=tmp_path / "bad.log")
    said: list[str] = []
    assert run_on_cluster([bad], folder=tmp_path / "jobs", options={}, say=said.append, cluster="local") == [
        bad
    ]
    assert "nothing" in bad.log.read_text()
    assert any(line.startswith("bad: failed, see ") for line in said)


def test_options_that_slurm_does_not_have(tmp_path: Path):
    pytest.importorskip("submitit")
    from vitret.compare.cluster import options_of, run_on_cluster

    with pytest.raises(UserError, match="not KEY=VALUE"):
        options_of(["partition"])
    with pytest.raises(UserError, match="parttion"):
        run_on_cluster(
            [], folder=tmp_path, options={"local_parttion": "x"}, say=lambda _: None, cluster="local"
        )


@pytest.mark.skipif(shutil.which("srun") is not None, reason="there is SLURM here")
def test_without_slurm_the_other_way_is_named(tmp_path: Path):
    pytest.importorskip("submitit")
    from vitret.compare.cluster import run_on_cluster

    with pytest.raises(MachineError, match="--jobs N"):
        run_on_cluster([], folder=tmp_path, options={}, say=lambda _: None)
