"""The command line: help is quick and true, an error is one line with the fix, exit codes are as documented."""

import re
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from vitret import __version__
from vitret.cli import _take_common, build_command, run
from vitret.cli.console import on_a_screen
from vitret.core.errors import VitretError


def _commands(group: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(_commands(build_command()))


def _examples(command: object) -> list[str]:
    return re.findall(r"^ *((?:[A-Z_]+=\S+ )?vitret .*?)\s*$", command.help or "", flags=re.MULTILINE)


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=" ".join)
def test_every_verb_shows_two_examples_that_parse(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    examples = _examples(COMMANDS[path])
    assert len(examples) >= 2, f"vitret {' '.join(path)} shows {len(examples)} examples"
    for example in examples:
        words = shlex.split(example.partition(" > ")[0])
        words = words[words.index("vitret") + 1 :]
        words = _take_common(words)
        assert tuple(words[: len(path)]) == path, example
        COMMANDS[path].make_context(" ".join(path), words[len(path) :])  # raises on what does not parse


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=" ".join)
def test_help_of_every_verb_imports_no_torch(path: tuple[str, ...]):
    code = f"import sys\nfrom vitret.cli import run\nrun([*{path!r}, '--help'])\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Examples" in done.stdout


def test_help_comes_at_once():
    def seconds() -> float:
        """Processor time, so that a busy machine does not fail the test."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "vitret", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["bnech"], 2, "bench"),
        (["bench"], 2, "--train-set"),
        (["bench", "--train-set", "minitwon-sfm"], 2, "Did you mean 'minitown-sfm'"),
        (["bench", "--train-set", "minitown-sfm"], 3, "vitret prepare minitown-sfm"),
        (["bench", "--train-set", "minitown-sfm", "--systems", "tiny_dtpo"], 2, "tiny_dtop"),
        (["bench", "--train-set", "minitown-sfm", "--set", "optimiser.lrr=1"], 2, "Did you mean 'lr'"),
        (["bench", "--train-set", "minitown-sfm", "--seeds", "0"], 2, "seeds"),
        (["prepare", "roxfrod5k"], 3, "roxford5k"),
        (["list", "hedas"], 2, "Did you mean 'heads'"),
        (["leaderboard", "--format", "pdf"], 2, "pdf"),
        (["leaderboard"], 5, "vitret bench"),
        (["results", "validate"], 5, "no rows"),
        (["explain", "nothing"], 2, "nothing"),
        (["--data"], 2, "--data"),
    ],
    ids=str,
)
def test_an_error_is_one_line_with_the_fix(
    words: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path,
):
    monkeypatch.setenv("VITRET_RESULTS", str(tmp_path / "results"))
    assert run(words) == code
    out, err = capsys.readouterr()
    assert said in err
    assert "Traceback" not in err
    assert out == ""


def test_common_flags_work_before_and_after_the_verb(tmp_path, capsys: pytest.CaptureFixture[str]):
    assert run(["list", "runs", "--home", str(tmp_path)]) == 0
    assert run(["--home", str(tmp_path), "list", "runs"]) == 0
    assert "no runs yet" in capsys.readouterr().err


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"vitret {__version__}\n"


def test_without_a_verb_the_help_page_stands_alone(capsys: pytest.CaptureFixture[str]):
    assert run([]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Usage: vitret")
    assert "Try:" not in err


def test_the_help_page_names_every_exit_code(capsys: pytest.CaptureFixture[str]):
    assert run(["--help"]) == 0
    epilog = capsys.readouterr().out.partition("Exit codes:")[2]
    codes = {0, 130} | {kind.exit_code for kind in VitretError.__subclasses__()}
    assert {int(code) for code in re.findall(r"(?:^| ) +(\d+)  ", epilog, flags=re.MULTILINE)} == codes


def test_every_verb_says_its_exit_codes():
    def pages(group: object) -> Iterator[str]:
        yield str(getattr(group, "epilog", ""))
        for command in getattr(group, "commands", {}).values():
            yield from pages(command)

    assert all("5  nothing was selected or measured" in epilog for epilog in pages(build_command()))


def test_without_a_terminal_there_are_no_control_codes(capsys: pytest.CaptureFixture[str]):
    run(["list", "heads"])
    run(["bench"])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err


def test_an_interruption_says_how_to_continue(monkeypatch: pytest.MonkeyPatch, capsys):
    def stopped(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vitret.core.config.location", stopped)
    assert run(["explain", "a suite"]) == 130
    assert "the same command continues from there:\n  vitret explain 'a suite'" in capsys.readouterr().err


def test_too_little_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def full() -> None:
        raise MemoryError("Unable to allocate 4. TiB")

    monkeypatch.setattr("vitret.core.config.locations", full)
    assert run(["env"]) == 6
    assert capsys.readouterr().err == (
        "Not enough memory (Unable to allocate 4. TiB). Use a machine with more, or less data.\n"
    )


def test_a_message_fits_on_a_screen():
    lines = on_a_screen(str(VitretError("\n".join(["x" * 5000] * 300)))).splitlines()
    assert len(lines) <= 24
    assert lines[-1] == "… and 278 more lines."
    assert max(map(len, lines)) < 1010
    assert on_a_screen("one line") == "one line"
