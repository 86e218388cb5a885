"""SLURM's own controller and node on this machine, in a folder of their own, from Debian's packages; no root is needed.

apt-get install slurmctld slurmd munge slurm-client
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

# The partition `urgent` takes the node from the jobs of `all`, which are told 20 seconds before and queued again.
# cred_expire: a job that was queued again waits until its old credential has expired, two minutes if not told.
_CONFIGURATION = """
ClusterName=vitret
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=20
MinJobAge=86400
SchedulerParameters=sched_interval=2,bf_interval=2,preempt_send_user_signal
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "sinfo", "scancel")


def installed() -> bool:
    """Whether all of SLURM that a cluster of one node needs is on this machine."""
    return all(map(_program, PROGRAMS))


@contextmanager
def one_node_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which SLURM's commands talk to a new cluster of this machine alone; it ends with the block."""
    for name in ("controller", "node"):
        (folder / name).mkdir(parents=True)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            folder=folder, host=socket.gethostname(), user=getpass.getuser(), ports=_free_ports(2)
        )
    )
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    munge = ["--foreground", "--force"]
    munge += [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    munge.append(f"--socket={folder}/munge.socket")
    commands = (["munged", *munge], ["slurmctld", "-D"], ["slurmd", "-D", "-N", socket.gethostname()])
    with ExitStack() as running:
        for name, *words in commands:
            running.enter_context(_daemon([_program(name), *words], environment, folder / f"{name}.out"))
        _wait_until_idle(environment, folder)
        try:
            yield environment
        finally:
            # What runs would outlive the daemons.
            subprocess.run(
                ["scancel", "--full", "--signal=KILL", "--state=RUNNING"], env=environment, check=False
            )
            subprocess.run(["scancel", "--user", getpass.getuser()], env=environment, check=False)
            _wait_until_idle(environment, folder)


def _program(name: str) -> str:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or ""


@contextmanager
def _daemon(command: list[str], environment: dict[str, str], output: Path) -> Iterator[None]:
    with output.open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
        )
        if found.stdout.split() and set(found.stdout.split()) == {"idle"}:
            return
        time.sleep(0.5)
    raise TimeoutError(f"the node does not become idle: {found.stdout}{found.stderr}; see {folder}/*.log")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
