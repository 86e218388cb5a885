"""`vitret demo`: the whole pipeline on the synthetic town."""

import os

from vitret.cli import console
from vitret.cli.options import Device, Precision, Wide, Workers

TRACKS = ("minitown-sfm", "minitown-clean")


def demo(
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    wide: Wide = False,
) -> None:
    """Run the whole pipeline on small synthetic datasets.

    Trains and measures three systems on two training sets, one seed each, and prints the tables. Everything is
    written to $VITRET_HOME/demo; a second call only prints. The numbers test the pipeline; they do not compare methods.

    Examples:
      vitret demo
      vitret demo --device cuda
    """
    from vitret.cli.bench import do, machine_of, show
    from vitret.compare.asked import Places, Request
    from vitret.compare.work import needed_sets, resolve
    from vitret.core import config
    from vitret.data.prepare.request import Request as DatasetRequest
    from vitret.data.prepare.run import prepare
    from vitret.pages import leaderboard

    home = config.location("home").path / "demo"
    folders = {"home": home, "data": home / "data", "results": home / "results"}
    os.environ |= {f"VITRET_{name.upper()}": str(folder) for name, folder in folders.items()}
    options = [word for name, folder in folders.items() for word in (f"--{name}", str(folder))]
    machine = machine_of(device, precision, workers)
    places = Places.default()
    for name in needed_sets(places, TRACKS):
        prepare(DatasetRequest(name, data_root=places.data, report=console.say))
    for track in TRACKS:
        work = resolve(places, Request(train_set=track, seeds=1))
        do(places, work, machine=machine)
        show(places, [work], command=["bench", "--train-set", track, *options], wide=wide)
    for path in leaderboard.write(places.results):
        console.say(f"wrote {path}")
