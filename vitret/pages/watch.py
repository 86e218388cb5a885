"""Trainings as they run, from their logs: a line for each look of the log, and curves on a terminal.

Curves are drawn by plotext (extra `watch`).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from vitret.core.locks import held
from vitret.core.runs import Run, read_log, run_names

Entry = Mapping[str, Any]
Curve = Sequence[tuple[int, float]]
"""Step and value of each line of a log that has one."""

# Lines of the log whose mean speed says how long the rest takes.
_RECENT = 10
# Values below are drawn with a power of ten in the title.
_SMALL = 0.01


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A run as it stood at one look: whether a process held it, whether it was finished, and its log after that."""

    run: Run
    running: bool
    finished: bool
    entries: Sequence[Entry]

    @property
    def steps(self) -> int:
        """How many the training has in all; of an old log by its recipe, about."""
        known = [entry["steps"] for entry in self.entries if "steps" in entry]
        if known:
            return int(known[-1])
        track = self.run.recipe().track
        return track.images_seen // track.batch

    @property
    def step(self) -> int:
        return int(self.entries[-1]["step"]) if self.entries else 0

    @property
    def ended(self) -> bool:
        return self.finished or not self.running

    @property
    def seconds_left(self) -> float | None:
        """At the speed of the last lines, validation not counted; None where nothing is known of it."""
        speeds = [
            float(entry["images_per_second"]) for entry in self.entries if entry.get("images_per_second")
        ]
        if not speeds:
            return None
        recent = speeds[-_RECENT:]
        images = (self.steps - self.step) * self.run.recipe().track.batch
        return images / (sum(recent) / len(recent))

    @property
    def state(self) -> str:
        """How it stands, in a few words."""
        where = f"step {self.step:,} of {self.steps:,}"
        if self.finished:
            return "finished"
        if not self.running:
            return f"stopped at {where}; `vitret train` continues it"
        left = self.seconds_left
        return where if left is None else f"{where}, about {timedelta(seconds=round(left))} left"


def look(run: Run) -> Seen:
    """A run as it is now."""
    # In this order, the log last: a training that ends in between is then seen whole, now or at the next look.
    running, finished = held(run.path / "run.lock"), run.finished
    return Seen(run=run, running=running, finished=finished, entries=read_log(run.log_file))


def runs_at_work(home: Path) -> list[Run]:
    """The runs of a home that some process holds."""
    runs = [Run.of(home, name) for name in run_names(home)]
    return [run for run in runs if not run.finished and held(run.path / "run.lock")]


def words(seen: Seen, entry: Entry) -> str:
    """One line of a log for eyes."""
    parts = [f"{seen.run.id}  step {entry['step']:,}/{seen.steps:,}"]
    if "loss" in entry:
        parts.append(f"loss {entry['loss']:.4g}")
    if "lr" in entry:
        parts.append(f"lr {entry['lr']:.3g}")
    if "images_per_second" in entry:
        parts.append(f"{entry['images_per_second']:.1f} images/s")
    for name, value in entry.get("validation", {}).items():
        parts.append(f"validation {name} {100 * value:.1f}")
    return "  ".join(parts)


def lines(runs: Sequence[Run], wait: Callable[[], None]) -> Iterator[str]:
    """Every line of the logs, then each new one as it comes, until all runs have ended; `wait` is between two looks.

    A training that continues after a stop cuts its log: lines that are written again are given again.
    """
    shown = dict.fromkeys((run.id for run in runs), 0)
    while True:
        looks = [look(run) for run in runs]
        for seen in looks:
            new = seen.entries[min(shown[seen.run.id], len(seen.entries)) :]
            yield from (words(seen, entry) for entry in new)
            shown[seen.run.id] = len(seen.entries)
        if all(seen.ended for seen in looks):
            yield from (f"{seen.run.id}  {seen.state}" for seen in looks)
            return
        wait()


def _validated(entry: Entry) -> float | None:
    found = entry.get("validation", {}).get("map")
    return None if found is None else 100 * float(found)


# What is drawn: title, and the value of a line of the log that has one.
_CURVES: Mapping[str, Callable[[Entry], float | None]] = {
    "loss": lambda entry: entry.get("loss"),
    "validation mAP, per cent": _validated,
    "learning rate": lambda entry: entry.get("lr"),
    "images/s": lambda entry: entry.get("images_per_second"),
}


def picture(looks: Sequence[Seen], *, width: int, height: int, colour: bool) -> str:
    """Four curves of one or several runs, and a line on how each stands, in a terminal's columns and lines."""
    several = len(looks) > 1
    side, above = width // 2, max(6, (height - 1 - 2 * len(looks)) // 2)
    drawn = []
    for number, (title, value) in enumerate(_CURVES.items()):
        curves = [[(e["step"], v) for e in seen.entries if (v := value(e)) is not None] for seen in looks]
        # Colours say which run it is where there are some; a legend covers the curve.
        legend = several and (number == 0 or not colour)
        drawn.append(_curve(title, curves, size=(side, above), legend=legend, colour=colour))
    rows = [
        left + right
        for pair in (drawn[:2], drawn[2:])
        for left, right in zip(*(text.splitlines() for text in pair), strict=True)
    ]
    states = [
        f"{name}. {seen.run.id}\n   {seen.state}" if several else f"{seen.run.id}\n{seen.state}"
        for name, seen in enumerate(looks, start=1)
    ]
    return "\n".join([*rows, *states])


def _curve(title: str, curves: Sequence[Curve], *, size: tuple[int, int], legend: bool, colour: bool) -> str:
    """One drawing of (columns, lines)."""
    import plotext as plt

    plt.clear_figure()
    plt.limit_size(False, False)
    plt.plot_size(*size)
    highest = max((v for curve in curves for _, v in curve), default=0.0)
    # An axis of 0.0000290 takes the room of the curve.
    power = math.floor(math.log10(highest)) if 0 < highest < _SMALL else 0
    plt.title(title if power == 0 else f"{title}, 1e{power}")
    for name, curve in enumerate(curves, start=1):
        if curve:
            shown = [v / 10**power for _, v in curve]
            plt.plot([x for x, _ in curve], shown, label=str(name) if legend else None, marker="braille")
    text = plt.build()
    return str(text if colour else plt.uncolorize(text))
