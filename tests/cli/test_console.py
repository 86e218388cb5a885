"""Progress of bytes: bars on a terminal, plain lines elsewhere, nothing when quiet."""

import re
from collections.abc import Callable

import pytest

from vitret.cli import console


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the seconds that have gone by."""
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])

    def at(seconds: float) -> None:
        now[0] = 1000.0 + seconds

    return at


def test_lines_say_bytes_speed_and_time_now_and_then(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
):
    with console.transfers() as report:
        report("ims.tar.gz", 500_000_000, 2_500_000_000)  # Half a gigabyte is there from an earlier attempt.
        clock(10)
        report("ims.tar.gz", 600_000_000, 2_500_000_000)
        assert capsys.readouterr().err == ""
        clock(50)
        report("ims.tar.gz", 1_000_000_000, 2_500_000_000)
        report("list.txt", 10, None)
        clock(60)
        report("ims.tar.gz", 1_100_000_000, 2_500_000_000)
        clock(90)
        report("list.txt", 4010, None)
    # 500 MB in 50 s; the 1.5 GB to come take 150 s.
    assert capsys.readouterr().err.splitlines() == [
        "ims.tar.gz: 1 GB of 2.5 GB, 10 MB/s, 2 min left",
        "list.txt: 4.01 kB, 100 bytes/s",
    ]


def test_quiet_is_silent(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("VITRET_QUIET", "1")
    with console.transfers() as report:
        report("a", 0, 10)
        clock(100)
        report("a", 5, 10)
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_bar_for_each_file_until_it_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with console.transfers() as report:
        report("one.tar", 1_000_000, 4_000_000)
        report("two.tar", 2_000_000, 2_000_000)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert re.search(r"one\.tar .*1\.0/4\.0 MB", shown)
    assert "two.tar" not in shown
