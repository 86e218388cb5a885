"""What can go wrong for a user, and the exit code that a program sees for it.

Every message says what is wrong, where, and the command that fixes it. Anything that is not one of these
is a bug and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches

# A longer line of a message repeats something that was given: a name of five thousand letters, a whole file.
LONGEST_LINE = 1000


class VitretError(Exception):
    """Base of all errors that are shown as one line without a traceback; a very long line is cut."""

    exit_code = 2

    def __str__(self) -> str:
        lines = super().__str__().split("\n")
        return "\n".join(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …" for line in lines)


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


# What a message shows of a longer list: some of the names, each cut, so that it fits on a screen.
SHOWN, KNOWN_SHOWN, LONGEST_NAME = 3, 40, 120


def listed(names: Iterable[object], *, shown: int = SHOWN) -> str:
    """The first names of a list and how many more there are; "none" where it is empty.

    >>> listed(["a", "b"]), listed("abcdef"), listed([])
    ('a, b', 'a, b, c and 3 more', 'none')
    """
    texts = [str(name) for name in names]
    more = f" and {len(texts) - shown:,} more" if len(texts) > shown else ""
    return (", ".join(shortened(text) for text in texts[:shown]) or "none") + more


def shortened(text: str, longest: int = LONGEST_NAME) -> str:
    """A text of any length, cut in its middle to at most `longest` characters, on one line.

    >>> shortened("a" * 30 + "z", 9)
    'aaaa…aaaz'
    """
    text = " ".join(text.split())
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def said(error: BaseException) -> str:
    r"""What an exception says, or its kind where it says nothing; on one line, and not a long one.

    >>> said(ValueError("not\na number")), said(EOFError())
    ('not a number', 'EOFError')
    """
    return shortened(str(error).strip() or type(error).__name__)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that proposes the nearest known words, or lists the first of them when none is near.

    >>> did_you_mean("dtpo", ["dtop", "irt_r"])
    "Did you mean 'dtop'?"
    >>> did_you_mean("x", map(str, range(100, 1100)))[-14:]
    ' and 960 more.'
    """
    known = sorted(known)
    # Comparing takes long with long words; a name that a user has typed is not one of them.
    near = get_close_matches(word, known, n=3, cutoff=0.6) if len(word) <= LONGEST_NAME else []
    if near:
        return "Did you mean " + " or ".join(f"'{shortened(name)}'" for name in near) + "?"
    return f"Known: {listed(known, shown=KNOWN_SHOWN)}."
