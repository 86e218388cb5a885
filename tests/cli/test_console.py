"""Progress of bytes, and tables: bars and grids on a terminal, plain lines elsewhere, nothing when quiet."""

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


def test_the_time_left_is_right_again_after_a_pause(
    clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
):
    with console.steps("run") as report:
        for seconds, done in ((0, 1000), (31, 1310), (1000, 1320), (1040, 1720)):
            clock(seconds)
            report(done, 2000, "images")
    assert capsys.readouterr().err.splitlines() == [
        "run: 1,310 of 2,000 images, about 0:01:09 left",
        "run: 1,320 of 2,000 images, about 18:18:12 left",
        "run: 1,720 of 2,000 images, about 0:00:28 left",
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


def on_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, **given: object
) -> list[str]:
    """The lines of a table of many columns on a terminal."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    heads = ["system", *(f"number{i}" for i in range(12))]
    rows = [[f"a system {r}", *(f"{r}-{i:02}-000" for i in range(12))] for r in range(3)]
    console.table(rows, heads=heads, **given)  # type: ignore[arg-type]
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    # No column is lost, whatever the width.
    assert all(out.count(cell) == 1 for row in rows for cell in row[1:])
    return out.splitlines()


def test_columns_that_do_not_fit_stand_below_behind_the_first_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    lines = on_terminal(capsys, monkeypatch, 80)
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if line.startswith("system")] == ["system"] * 2
    assert sum(line.startswith("a system 0") for line in lines) == 2


def test_wide_keeps_a_row_on_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    assert len(on_terminal(capsys, monkeypatch, 80, wide=True)) == 4
    assert len(on_terminal(capsys, monkeypatch, 200)) == 4


def test_a_long_cell_is_wrapped_and_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    console.table([["home", "/" + "x" * 90, "words " * 30]])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "".join(lines)
    assert sum(line.count("words") for line in lines) == 30
    console.table([])
    assert capsys.readouterr().out == ""
