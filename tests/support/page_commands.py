"""The commands that a page shows, in its order."""

import re


def commands(text: str) -> list[str]:
    """Every line of a page's console blocks that calls vitret, without its comment."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    shown = [block for language, block in blocks if language in ("", "console", "sh")]
    lines = [line.removeprefix("$ ") for block in shown for line in block.splitlines()]
    return [line.partition("   #")[0].strip() for line in lines if line.startswith("vitret ")]
