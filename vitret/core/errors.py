"""What can go wrong for a user, and the exit code that a program sees for it.

Every message says what is wrong, where, and the command that mends it. Anything that is not one of these
is a bug and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class VitretError(Exception):
    """Base of all errors that are shown as one line without a traceback."""

    exit_code = 2


class CheckError(VitretError):
    """Something was checked and found wanting: a stale leaderboard, a result that does not validate."""

    exit_code = 1


class UserError(VitretError):
    """The command, an option or a configuration file is wrong."""

    exit_code = 2


class DataError(VitretError):
    """Data is missing, corrupt, or its terms were not accepted."""

    exit_code = 3


class PartialError(VitretError):
    """The work is finished except for the parts the message names."""

    exit_code = 4


class EmptyError(VitretError):
    """Nothing was selected or nothing was measured; never reported as success."""

    exit_code = 5


class MachineError(VitretError):
    """The machine does not have what was asked for: CUDA, disk, memory, permission."""

    exit_code = 6


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that proposes the nearest known words, or lists them all when none is near.

    >>> did_you_mean("dtpo", ["dtop", "irt_r"])
    "Did you mean 'dtop'?"
    """
    known = sorted(known)
    near = get_close_matches(word, known, n=3, cutoff=0.6)
    if near:
        return "Did you mean " + " or ".join(f"'{name}'" for name in near) + "?"
    return "Known: " + (", ".join(known) if known else "none") + "."
