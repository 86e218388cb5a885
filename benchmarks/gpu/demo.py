"""The whole pipeline through the command line on a device: `vitret demo`, or with --short one small training.

python benchmarks/gpu/demo.py --device cuda --home FOLDER
"""

import argparse
import json
import os
import time
from pathlib import Path

from vitret.cli import run


def short(device: str) -> list[list[str]]:
    """A tenth of a dataset, a training of a few steps, and the descriptors of its network."""
    small = ["--set", "quarters=3", "--set", "photos=4"]
    system = ["--system", "tiny_dtop", "--train-set", "minitown-sfm"]
    changes = ("track.images_seen=16", "track.batch=8", "track.image.size=32", "track.validation=0.0")
    changed = [word for change in changes for word in ("--set", change)]
    return [
        ["prepare", "minitown-sfm", *small],
        ["train", *system, *changed, "--device", device],
        ["extract", "minitown-sfm-tiny_dtop", "minitown-sfm", "--size", "32", "--device", device],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--home", type=Path, required=True, help="an empty folder for everything it writes")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    a = parser.parse_args()
    home = a.home.absolute()
    os.environ |= {"VITRET_HOME": str(home), "VITRET_DATA": str(home / "data")}
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    seconds = {}
    for words in short(a.device) if a.short else [["demo", "--device", a.device]]:
        began = time.perf_counter()
        if code := run(words):
            raise SystemExit(f"`vitret {' '.join(words)}` ended with code {code}.")
        seconds[words[0]] = round(time.perf_counter() - began, 2)
    found = {"seconds": seconds, "form": "short" if a.short else "full"}
    print(json.dumps(found))
    if a.out is not None:
        a.out.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
