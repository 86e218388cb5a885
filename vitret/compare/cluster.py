"""The jobs of a bench on a cluster with SLURM, through submitit: one job a run, requeued when it is pre-empted.

SLURM tells a job some time before it ends it (submitit asks for 90 seconds). The run then saves its state, and the job
is put into the queue again; it continues where it was. Folders must be the same on every machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitret.compare.jobs import LOOK_EVERY, PATIENCE, Job, start
from vitret.compare.machine import Say
from vitret.core.errors import MachineError, UserError
from vitret.core.store import read_json_object, write_json

# What submitit calls alike on every cluster; any other option is SLURM's own.
_COMMON = (
    "cpus_per_task",
    "gpus_per_node",
    "mem_gb",
    "nodes",
    "stderr_to_stdout",
    "tasks_per_node",
    "timeout_min",
)
# States in which SLURM still means to run a job to its end.
_ALIVE = (
    "PENDING",
    "CONFIGURING",
    "RUNNING",
    "COMPLETING",
    "SUSPENDED",
    "PREEMPTED",
    "REQUEUED",
    "REQUEUE_HOLD",
)


# How a command ends that was interrupted: its state is saved.
_STOPPED = (130, -signal.SIGTERM, -signal.SIGINT)


class RunJob:
    """What a cluster calls: starts the command of one run; told of its end, it stops the command and asks for more."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.pid: int | None = None

    def __call__(self) -> str:
        """The name of the run; raises where its command failed."""
        process = start(self.job, {})
        self.pid = process.pid
        # A plain wait would hold a lock that `checkpoint`, which interrupts it, could not pass.
        while process.poll() is None:
            time.sleep(LOOK_EVERY)
        if process.returncode in _STOPPED:
            # SLURM tells every process of a job that it ends; the end of this one comes next.
            time.sleep(PATIENCE)
        if process.returncode:
            raise RuntimeError(f"{self.job.run} ended with {process.returncode}: see {self.job.log}")
        return self.job.run

    def checkpoint(self) -> Any:
        """Called by submitit before SLURM ends the job: let the run save its state, then be called again."""
        from submitit.helpers import DelayedSubmission

        if self.pid is not None and not _has_ended(self.pid):
            os.kill(self.pid, signal.SIGTERM)
            until = time.monotonic() + PATIENCE
            while not _has_ended(self.pid) and time.monotonic() < until:
                time.sleep(LOOK_EVERY)
        return DelayedSubmission(RunJob(self.job))


def _has_ended(pid: int) -> bool:
    """Whether a child has ended; it stays for its parent to ask how."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def options_of(assignments: Sequence[str]) -> dict[str, Any]:
    """`partition=gpu` and the like as submitit names them.

    >>> options_of(["partition=gpu", "timeout_min=720"])
    {'slurm_partition': 'gpu', 'timeout_min': 720}
    """
    from vitret.core.config import parse_yaml

    found: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise UserError(f"--slurm {assignment}: not KEY=VALUE. For example: --slurm partition=gpu")
        found[key if key in _COMMON or key.startswith("slurm_") else f"slurm_{key}"] = parse_yaml(
            value, f"--slurm {assignment}"
        )
    return found


def run_on_cluster(
    jobs: Sequence[Job], *, folder: Path, options: Mapping[str, Any], say: Say, cluster: str = "slurm"
) -> list[Job]:
    """Submit jobs and wait for them; returns those that failed. A job that is in the queue already is waited for.

    `cluster` is another of submitit's in tests.

    Raises:
        UserError: SLURM has no such option.
        MachineError: no submitit, no SLURM on this machine, or SLURM refuses the job.
    """
    submitit = _submitit()
    executor = _executor(submitit, folder, options, cluster)
    job_class = submitit.SlurmJob if cluster == "slurm" else submitit.LocalJob
    failed = []
    try:
        submitted = [(job, _submitted(executor, job_class, job, folder=folder, say=say)) for job in jobs]
        for job, handle in submitted:
            try:
                handle.result()
                say(f"{job.run}: done")
            except (submitit.core.utils.FailedJobError, submitit.core.utils.UncompletedJobError) as error:
                say(f"{job.run}: failed, see {job.log} ({str(error).splitlines()[0]})")
                failed.append(job)
            with contextlib.suppress(FileNotFoundError):
                _record(folder, job).unlink()
    except submitit.core.utils.FailedSubmissionError as error:
        raise MachineError(f"--launcher slurm: {error}") from error
    except KeyboardInterrupt:
        say("The jobs stay in the queue. The same command waits for them again; `scancel` ends them.")
        raise
    return failed


def _submitit() -> Any:
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise MachineError("--launcher slurm needs submitit: pip install 'vitret[slurm]'") from error
    return submitit


def _executor(submitit: Any, folder: Path, options: Mapping[str, Any], cluster: str) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(name="vitret", **options)
    except RuntimeError as error:
        raise MachineError(
            f"--launcher slurm: {error} Run it where `sbatch` is, or side by side here: --jobs N"
        ) from error
    except (NameError, AssertionError) as error:  # an unknown option, a value of another type
        raise UserError(f"--slurm: {error}") from error
    return executor


def _submitted(executor: Any, job_class: Any, job: Job, *, folder: Path, say: Say) -> Any:
    """The job in the queue: that of an earlier call if it has not ended, else a new one."""
    record = _record(folder, job)
    if record.is_file():
        known = job_class(folder=folder, job_id=str(read_json_object(record)["job"]))
        if known.state.split()[0] in _ALIVE:
            say(f"{job.run}: is in the queue as {known.job_id} ({known.state})")
            return known
    handle = executor.submit(RunJob(job))
    write_json(record, {"job": handle.job_id})
    say(f"{job.run}: submitted as {handle.job_id}, {job.log}")
    return handle


def _record(folder: Path, job: Job) -> Path:
    return folder / f"{job.run}.json"
