"""The clock of a step on a time that the test tells."""

import pytest
import torch

from vitret.learn.step_clock import OFF, WARM, StepClock


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_phase_has_its_own_time_and_none_counts_twice():
    time = Time()
    clock = StepClock(torch.device("cpu"), now=time)

    def batches():
        for number in range(WARM + 2):
            time.now += 2  # data
            yield number

    for _ in clock.each(batches()):
        with clock.phase("forward"):
            time.now += 4
            with clock.phase("communication"):
                time.now += 8
            time.now += 1
        time.now += 16
    assert clock.steps == WARM + 2
    assert clock.seconds == {"data": 4, "forward": 10, "communication": 16, "rest": 32}
    lines = clock.report().splitlines()
    assert lines[0] == "Time of a step, mean of 2:"
    assert [line.split()[0] for line in lines[1:]] == ["data", "forward", "communication", "rest"]
    assert lines[1].split()[1:] == ["2000.0", "ms", "6", "%"]


def test_an_error_leaves_the_phase():
    time = Time()
    clock = StepClock(torch.device("cpu"), now=time)
    with pytest.raises(ZeroDivisionError), clock.phase("backward"):
        raise ZeroDivisionError
    time.now += 3
    with clock.phase("forward"):
        pass
    assert clock.seconds["rest"] == 3


def test_off_it_counts_nothing():
    assert list(OFF.each("ab")) == ["a", "b"]
    assert OFF.seconds == {}
    assert "not measured" in OFF.report()
