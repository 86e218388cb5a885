"""A bench as one command a run, and these commands side by side on this machine.

What a job does is the bench of its run alone: it holds the run's lock, continues what was interrupted, and writes the
same rows. So a job that is killed is started again, and nobody needs to know how far it came.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitret.compare.asked import Request
from vitret.compare.machine import Say
from vitret.compare.work import Work, missing_rows

# Seconds between two looks at what runs, and those a job has to save its state when it is told to stop.
LOOK_EVERY, PATIENCE = 0.2, 80.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """The bench of one run: words behind `vitret`, and the file that takes what they print."""

    run: str
    words: tuple[str, ...]
    log: Path

    @property
    def command(self) -> list[str]:
        """What the system starts."""
        return [sys.executable, "-m", "vitret", *self.words]


def jobs_of(
    works: Sequence[Work], request: Request, *, dims: Sequence[int], options: Sequence[str], logs: Path
) -> list[Job]:
    """One job for each run that has rows missing; `options` stand behind the names of the request."""
    runs = dict.fromkeys(
        task.recipe.run_id for work in works for task in work.tasks if missing_rows(work, task)
    )
    words = [*words_of(request, dims), *options]
    return [Job(run=run, words=(*words, "--run", run), log=logs / f"{run}.log") for run in runs]


def words_of(request: Request, dims: Sequence[int]) -> list[str]:
    """The words that ask `vitret bench` for this.

    >>> words_of(Request(train_set="sop", systems=["a", "b"], assignments=["track.batch=8"]), [64])
    ['bench', '--train-set', 'sop', '--systems', 'a,b', '--set', 'track.batch=8', '--dims', '64']
    """
    single = {
        "--train-set": request.train_set,
        "--systems": ",".join(request.systems),
        "--published": ",".join(request.published),
        "--ablate": request.ablation or "",
        "--seeds": "" if request.seeds is None else str(request.seeds),
        "--suite": request.suite or "",
        "--search": request.search,
        "--exclude": "" if request.exclude is None else str(request.exclude.absolute()),
    }
    words = ["bench"]
    for option, value in single.items():
        words += [option, value] if value else []
    for value in request.assignments:
        words += ["--set", value]
    for value in request.eval_sets:
        words += ["--eval-set", value]
    if request.without_distractors:
        words.append("--without-distractors")
    return words + (["--dims", ",".join(map(str, dims))] if dims else [])


def divided(devices: Sequence[str], cores: int, slots: int) -> list[dict[str, str]]:
    """The environment of each of `slots` jobs at once: a share of the cores, and CUDA devices in turn.

    >>> divided(["0", "1"], 8, 4)[3]
    {'OMP_NUM_THREADS': '2', 'CUDA_VISIBLE_DEVICES': '1'}
    """
    share = {"OMP_NUM_THREADS": str(max(1, cores // slots))}
    if not devices:
        return [share] * slots
    return [{**share, "CUDA_VISIBLE_DEVICES": devices[slot % len(devices)]} for slot in range(slots)]


def run_side_by_side(jobs: Sequence[Job], environments: Sequence[Mapping[str, str]], say: Say) -> list[Job]:
    """Run jobs, one at a time in each environment; returns those that failed.

    An interruption is passed on: each job saves its state, and the same command continues it.
    """
    waiting, running, failed = (
        deque(jobs),
        dict[int, tuple[Job, subprocess.Popen[bytes], float]](),
        list[Job](),
    )
    try:
        while waiting or running:
            for slot, environment in enumerate(environments):
                if slot not in running and waiting:
                    job = waiting.popleft()
                    say(f"{job.run}: started, {job.log}")
                    running[slot] = job, start(job, environment), time.monotonic()
            time.sleep(LOOK_EVERY)
            for slot, (job, process, began) in list(running.items()):
                code = process.poll()
                if code is not None:
                    del running[slot]
                    say(_ended(job, code, time.monotonic() - began))
                    failed += [job] if code else []
    finally:
        for _, process, _ in running.values():
            process.send_signal(signal.SIGTERM)
        for _, process, _ in running.values():
            _wait(process)
    return failed


def start(job: Job, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The job's command, with more in its environment; what it prints goes behind what is in its log."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        return subprocess.Popen(
            job.command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _ended(job: Job, code: int, seconds: float) -> str:
    if code:
        return f"{job.run}: ended with {code} after {seconds / 60:.1f} min, see {job.log}"
    return f"{job.run}: done in {seconds / 60:.1f} min"


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Until a process that was told to stop has saved its state; one that does not end is ended."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
