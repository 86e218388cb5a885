"""The one loop, on a line with one weight: what it saves, continues, logs and refuses."""

import json
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vitret.core.errors import DataError, UserError
from vitret.learn import loop
from vitret.learn.loop import Outcome, Position, Training, run_training

CPU = torch.device("cpu")


class Line:
    """y = w·x learned in 45 steps of gradient descent with random dropped steps; plans of 10 steps where it `mines`."""

    def __init__(self, folder: Path, *, mines: bool = False, total: int = 45) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(1, 1, bias=False)
        self.optimiser = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.5)
        self.folder, self.mines, self.total = folder, mines, total
        self.mined = 0
        self.seen: list[int] = []

    def batches(self, start: Position) -> Iterator[tuple[Position, int]]:
        place = start
        while place.step < self.total:
            plan = place.plan
            if plan is None:
                # What is mined depends on the network: made again later it would be another plan.
                weight = self.model.weight.item() if self.mines else 0.0
                plan = np.random.default_rng([place.epoch, int(1e6 * abs(weight))]).permutation(10)
                self.mined += self.mines
                place = replace(place, plan=plan if self.mines else None)
            for row in plan[place.at : place.at + self.total - place.step]:
                yield place, int(row)
                place = place.next()
            place = replace(place, epoch=place.epoch + 1, at=0, plan=None)

    def step(self, place: Position, row: int) -> Outcome:
        self.seen.append(row)
        x = torch.full((1, 1), row / 10) * torch.rand(1)
        loss = (self.model(x) - 3 * x).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return Outcome(loss=loss.detach(), means={"small": (loss < 1).float()}, last={"epoch": place.epoch})

    def training(self, **changes: Any) -> Training[int]:
        given: dict[str, Any] = {
            "name": "line",
            "recipe": "a line",
            "total": self.total,
            "batches": self.batches,
            "step": self.step,
            "parts": {"model": self.model, "optimiser": self.optimiser, "average": None},
            "write": lambda: torch.save(self.model.weight, self.folder / "weight.pt"),
            "state": self.folder / "state",
            "device": CPU,
            "advice": "Try less.",
            "log": self.folder / "log.jsonl",
        }
        return Training(**(given | changes))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def folders(tmp_path: Path, *names: str) -> list[Path]:
    made = [tmp_path / name for name in names]
    for folder in made:
        folder.mkdir()
    return made


@pytest.mark.parametrize("mines", [False, True])
@pytest.mark.parametrize("death", [1, 7, 10, 11, 29, 40, 44])
def test_stopped_anywhere_it_ends_where_the_straight_one_ends(
    mines: bool, death: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop, "_SAVING", math.inf)  # however long it takes
    straight, stopped = folders(tmp_path, "straight", "stopped")
    whole = Line(straight, mines=mines)
    run_training(whole.training())

    def stop(done: int, total: int, words: str) -> None:
        if done == death:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(Line(stopped, mines=mines).training(), progress=stop, save_seconds=0.0)
    assert not (stopped / "weight.pt").exists()
    rest = Line(stopped, mines=mines)
    said: list[str] = []
    run_training(rest.training(), say=said.append)
    assert torch.equal(rest.model.weight, whole.model.weight)
    assert (stopped / "weight.pt").read_bytes() == (straight / "weight.pt").read_bytes()
    assert lines(stopped) == lines(straight)
    assert not (stopped / "state").exists()
    saved = 45 - len(rest.seen)
    assert rest.seen == whole.seen[saved:]
    # Saved at looks alone, a mined plan as soon as it is there.
    looks = {0, 10, 20, 30, 40} if mines else {0, 20, 40}
    assert saved == max(look for look in looks if look < max(death, 1))
    assert said == ([f"line: continues after step {saved}."] if saved or mines else [])


def test_a_mined_plan_is_not_mined_again_and_none_after_the_end(tmp_path: Path):
    whole = Line(tmp_path, mines=True, total=20)
    run_training(whole.training())
    assert whole.mined == 2


def test_a_signal_ends_the_step_and_saves(tmp_path: Path):
    def interrupt(done: int, total: int, words: str) -> None:
        if done == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    first = Line(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_training(first.training(), progress=interrupt)
    rest = Line(tmp_path)
    run_training(rest.training())
    assert (len(first.seen), len(rest.seen)) == (7, 38)
    assert [line["step"] for line in lines(tmp_path)] == [7, 20, 40, 45]


def test_the_log_has_means_and_newest_values_and_what_validation_found(tmp_path: Path):
    losses: list[float] = []
    line = Line(tmp_path)

    def step(place: Position, row: int) -> Outcome:
        outcome = line.step(place, row)
        losses.append(outcome.loss.item())
        return outcome

    told: list[str] = []
    training = line.training(
        step=step, marks=frozenset({23, 45}), validate=lambda: {"validation": len(losses)}
    )
    run_training(training, progress=lambda done, total, words: told.append(words))
    found = lines(tmp_path)
    assert [entry["step"] for entry in found] == [20, 23, 23, 40, 45, 45]
    assert found[0]["loss"] == pytest.approx(np.mean(losses[:20]))
    assert found[1]["loss"] == pytest.approx(np.mean(losses[20:23]))
    assert found[1]["small"] == pytest.approx(np.mean([loss < 1 for loss in losses[20:23]]))
    assert found[1]["epoch"] == 2
    assert found[2] == {"step": 23, "validation": 23}
    assert told[18:20] == ["", f"steps, loss {found[0]['loss']:.4f}, small {found[0]['small']:.0%}"]


def test_who_is_told_the_log_gets_each_line_once_when_a_training_continues(tmp_path: Path):
    told: list[dict[str, Any]] = []

    def stop(done: int, total: int, words: str) -> None:
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(Line(tmp_path).training(), progress=stop, save_seconds=0.0)
    run_training(Line(tmp_path).training(tell=told.append))
    assert [entry["step"] for entry in told] == [20, 40, 45]
    assert told == lines(tmp_path)


def test_a_loss_that_is_not_finite_is_named_with_its_step(tmp_path: Path):
    def step(place: Position, row: int) -> Outcome:
        return Outcome(loss=torch.tensor(float("nan") if place.step >= 12 else 1.0))

    with pytest.raises(UserError, match=r"line: the loss is nan at step 13\..*Try less\."):
        run_training(Line(tmp_path).training(step=step))
    assert not (tmp_path / "log.jsonl").exists()


def test_a_state_of_another_recipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 1)

    def stop(done: int, total: int, words: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(Line(tmp_path).training(), progress=stop, save_seconds=0.0)
    with pytest.raises(DataError, match="another recipe"):
        run_training(Line(tmp_path).training(recipe="a curve"))
