"""Kill `vitret demo` at random moments, let it finish, and compare its result files with an undisturbed run's.

    python tests/campaigns/kill_demo.py --kills 10 --seed 0

Each kill is SIGKILL to the whole process group. Rows must agree in every value but timings, ranks in every byte.
Exit 0 when they do.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMINGS = ("images_per_second", "network", "train_seconds")


def start(home: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "VITRET_HOME": str(home), "VITRET_QUIET": "1"}
    for name in ("VITRET_DATA", "VITRET_RESULTS"):
        environment.pop(name, None)
    return subprocess.Popen(
        [sys.executable, "-m", "vitret", "demo"],
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def rows(home: Path) -> dict[str, object]:
    """Every result file below a home: JSON without timings, ranks as bytes."""
    root = home / "demo" / "results"
    found: dict[str, object] = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        name = str(path.relative_to(root))
        if path.suffix == ".json":
            row = json.loads(path.read_text())
            row["cost"] = {k: v for k, v in row["cost"].items() if k not in TIMINGS}
            found[name] = row
        else:
            found[name] = path.read_bytes()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=60.0, help="seconds a doomed run may live")
    parser.add_argument("--undisturbed", type=Path, help="home of a finished demo to compare with")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        straight = arguments.undisturbed or Path(folder) / "straight"
        if arguments.undisturbed is None and start(straight).wait() != 0:
            print("the undisturbed demo failed")
            return 1
        killed = Path(folder) / "killed"
        for number in range(arguments.kills):
            lives = chance.uniform(1.0, arguments.longest)
            process = start(killed)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(lives)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                print(
                    f"kill {number + 1}: after {lives:.1f} s, {len(rows(killed))} result files stood",
                    flush=True,
                )
            else:
                print(f"kill {number + 1}: the demo had finished", flush=True)
            time.sleep(0.5)
        if start(killed).wait() != 0:
            print("the demo did not finish after the kills")
            return 1
        expected, found = rows(straight), rows(killed)
        different = [name for name in {*expected, *found} if expected.get(name) != found.get(name)]
        print(
            f"{len(expected)} files undisturbed, {len(found)} after kills, {len(different)} differ: {different}"
        )
        return 1 if different or not expected else 0


if __name__ == "__main__":
    sys.exit(main())
