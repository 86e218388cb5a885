"""`vitret watch` follows a log that grows, draws it, and ends when the run does."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vitret.cli import run as vitret
from vitret.core import config, runs
from vitret.core.errors import DataError
from vitret.core.locks import locked
from vitret.core.recipes import make_recipe
from vitret.core.runs import Run
from vitret.pages import watch


@pytest.fixture
def run(own_home: Path) -> Run:
    recipe = make_recipe(config.location("configs").path, "tiny_gem_vit", "minitown-clean")
    return runs.open_run(own_home, recipe)


def write(run: Run, *entries: dict[str, object], torn: str = "") -> None:
    with run.log_file.open("a") as file:
        file.write("".join(json.dumps(entry) + "\n" for entry in entries) + torn)


def loss(step: int) -> dict[str, object]:
    return {"step": step, "steps": 60, "loss": 10 / step, "lr": 1e-4, "images_per_second": 48.0}


def test_lines_follow_a_training_until_it_ends(run: Run):
    held = locked(run.path / "run.lock")
    held.__enter__()
    write(run, loss(20), torn='{"step": 4')

    def wait() -> None:
        """What happens between two looks: the torn line is whole, later the training ends."""
        if not run.finished and run.log_file.read_text().endswith("4"):
            write(run, torn='0, "steps": 60, "loss": 0.25}\n')
        else:
            write(run, {"step": 60, "validation": {"recall_at_1": 0.5, "map": 0.25}})
            run.checkpoint.touch()
            held.__exit__(None, None, None)

    shown = list(watch.lines([run], wait))
    assert shown == [
        f"{run.id}  step 20/60  loss 0.5  lr 0.0001  48.0 images/s",
        f"{run.id}  step 40/60  loss 0.25",
        f"{run.id}  step 60/60  validation recall_at_1 50.0  validation map 25.0",
        f"{run.id}  finished",
    ]


def test_a_training_that_ends_during_a_look_is_seen_whole(run: Run, monkeypatch: pytest.MonkeyPatch):
    def read_and_end(file: Path) -> list[dict[str, object]]:
        entries = runs.read_log(file)
        if not run.finished:
            write(run, loss(60))
            run.checkpoint.touch()
        return entries

    write(run, loss(40))
    monkeypatch.setattr(watch, "read_log", read_and_end)
    with locked(run.path / "run.lock"):
        shown = list(watch.lines([run], lambda: None))
    assert [line.split("  ")[1] for line in shown] == ["step 40/60", "step 60/60", "finished"]


def test_a_stopped_run_ends_the_watch_and_says_how_to_continue(run: Run, capsys: pytest.CaptureFixture[str]):
    write(run, loss(20))
    assert vitret(["watch", run.id[:20]]) == 0
    assert "stopped at step 20 of 60; `vitret train` continues it" in capsys.readouterr().out
    assert vitret(["watch"]) == 5
    assert "No training is running" in capsys.readouterr().err


def test_what_runs_now_is_found_and_how_long_it_takes(run: Run, own_home: Path):
    write(run, loss(20))
    with locked(run.path / "run.lock"):
        assert watch.runs_at_work(own_home) == [run]
        # 40 steps of 48 images at 48 images a second
        assert watch.look(run).state == "step 20 of 60, about 0:00:40 left"
    assert watch.runs_at_work(own_home) == []


def test_an_old_log_without_the_number_of_steps(run: Run):
    write(run, {"step": 20, "loss": 1.0})
    assert watch.look(run).steps == 19200 // 48


def test_a_damaged_log_is_said(run: Run):
    write(run, loss(20), torn="nonsense\n")
    with pytest.raises(DataError, match="not a training log"):
        watch.look(run)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 15)])
def test_curves_fit_the_terminal(run: Run, width: int, height: int):
    pytest.importorskip("plotext")
    write(run, *map(loss, range(10, 60, 10)), {"step": 60, "validation": {"map": 0.5}})
    looks = [watch.look(run)] * 2
    for shown, count in ((looks[:1], 1), (looks, 2)):
        lines = watch.picture(shown, width=width, height=height, colour=False).splitlines()
        assert max(map(len, lines)) <= width
        assert len(lines) < height + 2 * count
        text = "\n".join(lines)
        assert "\033" not in text
        for title in ("loss", "validation mAP, per cent", "learning rate, 1e-4", "images/s", run.id):
            assert title in text


def test_a_run_without_a_line_is_drawn(run: Run):
    pytest.importorskip("plotext")
    assert "stopped at step 0 of 400" in watch.picture([watch.look(run)], width=80, height=24, colour=False)


def test_the_log_of_a_resumed_training_stands_once_in_tensorboard(tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from vitret.learn.tensorboard import scalars

    def told(entries: list[dict[str, object]]) -> Callable[[], None]:
        def write_all() -> None:
            with scalars(tmp_path) as tell:
                for entry in entries:
                    tell(entry)

        return write_all

    first = [loss(20), loss(40)]
    told(first)()
    # Killed at step 40 and continued from 20: the log begins with what was saved.
    told([loss(20), loss(40), {"step": 40, "validation": {"map": 0.5}}, loss(60)])()
    found = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in found.Scalars("loss")] == [20, 40, 60]
    assert found.Scalars("validation/map")[0].value == 0.5
    assert sorted(found.Tags()["scalars"]) == ["images_per_second", "loss", "lr", "validation/map"]
