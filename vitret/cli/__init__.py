"""The command line: one file per verb. A body imports its wing inside, calls one function, prints.

The flags below work before and after every verb; they only set the environment variable of the same meaning.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
import typer.core
import typer.main

from vitret.cli import console
from vitret.core.errors import MachineError, VitretError

_COMMON = {
    "--home": "VITRET_HOME",
    "--data": "VITRET_DATA",
    "--results": "VITRET_RESULTS",
    "--weights-folder": "VITRET_WEIGHTS",
    "--configs": "VITRET_CONFIGS",
    "--suites": "VITRET_SUITES",
    "--include": "VITRET_INCLUDE",
}


_INTERRUPTED = 130
_EXIT_CODES = """\b
Exit codes:
  0  done                          4  finished, but some parts failed
  1  a check failed                5  nothing was selected or measured
  2  wrong command or settings     6  no CUDA, disk space or memory
  3  data missing or damaged     130  interrupted; run it again to continue
"""
_OPTIONS = """\b
Options before or after every verb:
  --home, --data, --results, --weights-folder, --configs, --suites FOLDER
              Use this folder; `vitret env` shows all folders.
  --include FOLDER
              Use the heads, losses and other parts in this folder too.
  --quiet     Print only errors and results.
"""


def _print_version(asked: bool) -> None:
    if asked:
        from vitret import __version__

        console.put(f"vitret {__version__}")
        raise typer.Exit


def _vitret(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options that belong to no verb."""


def build_app() -> typer.Typer:
    """All verbs. The modules imported here are light: the wings are imported by the bodies."""
    from vitret.cli import (
        bench,
        cache,
        check,
        demo,
        env,
        extract,
        labels,
        leaderboard,
        list_,
        look,
        maps,
        metrics,
        new,
        overlap,
        prepare,
        report,
        results,
        schema,
        search,
        train,
        verify,
        watch,
    )
    from vitret.cli import eval as eval_

    app = typer.Typer(
        help="Compare image-retrieval methods under equal conditions.",
        epilog=f"{_OPTIONS}\n{_EXIT_CODES}",
        callback=_vitret,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(demo.demo)
    app.command()(prepare.prepare)
    app.command()(verify.verify)
    app.command()(train.train)
    app.command()(watch.watch)
    app.command()(extract.extract)
    app.command("eval")(eval_.eval_)
    app.command()(metrics.metrics)
    app.command()(bench.bench)
    app.command()(leaderboard.leaderboard)
    app.command()(report.report)
    app.command()(look.compare)
    app.command()(look.explain)
    app.command()(look.diff)
    app.command()(overlap.overlap)
    app.command()(search.search)
    app.command()(maps.maps)
    app.command()(new.new)
    app.command()(check.check)
    app.command()(schema.schema)
    app.command("list")(list_.list_)
    app.command()(env.env)
    app.add_typer(results.app, name="results")
    app.add_typer(cache.app, name="cache")
    app.add_typer(labels.app, name="labels")
    return app


def _finish_help(command: typer.core.TyperCommand | typer.core.TyperGroup) -> None:
    """Print the examples of every help page as they are written, one per line, and the exit codes below them."""
    if command.help:
        command.help = command.help.replace("Examples:\n", "\b\nExamples:\n")
    command.epilog = command.epilog or f"Options of every verb: vitret --help\n\n{_EXIT_CODES}"
    for inner in getattr(command, "commands", {}).values():
        _finish_help(inner)


def build_command() -> typer.core.TyperGroup:
    """The whole command line."""
    command = typer.main.get_command(build_app())
    assert isinstance(command, typer.core.TyperGroup)
    _finish_help(command)
    return command


def _take_common(arguments: Sequence[str]) -> list[str]:
    """Move the common flags into the environment; what is left is the verb's."""
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if word == "--quiet":
            os.environ["VITRET_QUIET"] = "1"
        elif flag in _COMMON:
            given = value if equals else next(words, None)
            if not given:
                raise typer.BadParameter(f"{flag} needs a folder.")
            os.environ[_COMMON[flag]] = given
        else:
            rest.append(word)
    return rest


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code; an error that the user can fix is one line on stderr."""
    try:
        rest = _take_common(arguments)
        code = build_command().main(args=rest, prog_name="vitret", standalone_mode=False)
    except VitretError as error:
        console.complain(console.on_a_screen(str(error)))
        return error.exit_code
    except typer.TyperException as error:
        console.complain(_usage(error))
        return 2
    except typer.Exit as error:
        return error.exit_code
    except MemoryError as error:
        console.complain(
            f"Not enough memory ({error or 'no more could be had'}). Use a machine with more, or less data."
        )
        return MachineError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:  # the reader of our output has ended, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    # Of an interruption inside a verb typer gives this number back, without a word.
    if code == _INTERRUPTED:
        console.complain(
            "Interrupted. What was done is kept; the same command continues from there:\n  "
            + shlex.join(["vitret", *arguments])
        )
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException) -> str:
    """A mistake in the command line, with the help page to read."""
    message = str(getattr(error, "format_message", error.__str__)())
    if message.startswith("Usage:"):  # no verb was given: the message is the help page itself
        return message
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "vitret"
    return f"{message} Try: {path} --help"


def main() -> None:
    """Entry point of the `vitret` command and of `python -m vitret`."""
    sys.exit(run(sys.argv[1:]))
