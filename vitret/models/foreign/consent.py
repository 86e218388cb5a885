"""Consent to the code of others: a network that comes as Python files runs with the rights of whoever calls it.

`--trust` consents for one command; it travels in `VITRET_TRUST`, so that the processes of that command see it too. It
is never read from a recipe, a system or a checkpoint: a file that came from others must not consent for its reader.
"""

import os
from contextlib import AbstractContextManager

from vitret.core.errors import UserError
from vitret.core.variables import variable

VARIABLE = "VITRET_TRUST"


def trusted() -> bool:
    """Whether the user consented to the code of others in this process."""
    return os.environ.get(VARIABLE) == "1"


def require_trust(name: str, *, fetched: str) -> None:
    """Raise `UserError` without consent; `fetched` says what would be fetched and run, as the object of a sentence."""
    if not trusted():
        raise UserError(
            f"{name}: is a network that comes as code of others. Such code runs with your rights: it can read, change "
            f"and send every file that you can. Nothing of it was fetched or run. With your consent, vitret "
            f"will {fetched}. Read that code first; to consent, add --trust to the same command."
        )


def consenting() -> AbstractContextManager[None]:
    """Consent within, and what was before after."""
    return variable(VARIABLE, "1")
