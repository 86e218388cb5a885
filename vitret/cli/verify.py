"""`vitret verify`: is every file of a prepared set as it was prepared?"""

from typing import Annotated

import typer

from vitret.cli import completions, console

Workers = Annotated[int | None, typer.Option(help="Processes that check images; default: all cores.")]


def verify(
    names: Annotated[list[str], typer.Argument(help="Prepared sets.", autocompletion=completions.prepared)],
    workers: Workers = None,
) -> None:
    """Check every image and table of prepared sets again.

    All are hashed, and images are opened. Exit code 1 when anything differs; every difference is a line on stdout.

    Examples:
      vitret verify roxford5k
      vitret verify my-shop minitown-sfm
    """
    from vitret.core.recipes import unalias

    verify_sets([unalias(name) for name in names], workers=workers)


def verify_sets(names: list[str], *, workers: int | None) -> None:
    """Check sets one after the other and print what differs; any difference raises `CheckError` at the end."""
    import os

    from vitret.core import config
    from vitret.core.errors import CheckError
    from vitret.data.layout.verify import verify as check

    processes = os.cpu_count() or 1 if workers is None else workers
    changed: dict[str, int] = {}
    for name in names:
        differences = check(name, data_root=config.location("data").path, workers=processes)
        for sentence in differences:
            console.put(f"{name}: {sentence}")
        if differences:
            changed[name] = len(differences)
    if changed:
        raise CheckError(
            f"{sum(changed.values())} images or tables differ from what was prepared. "
            f"Build again: vitret prepare {' '.join(changed)} --replace"
        )
    console.say(f"{', '.join(names)}: every image and table is as it was prepared.")
