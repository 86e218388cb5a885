"""`vitret env`: every folder in use, which setting chose it, and the devices and versions found."""

import os
from typing import Annotated

import typer

from vitret.cli import console

_SWITCHES = {
    "VITRET_INCLUDE": "folders with your own parts, as --include",
    "VITRET_MIRROR": "used instead of every official host: MIRROR/HOST/PATH",
    "VITRET_QUIET": "only errors on stderr, as --quiet",
    "NO_COLOR": "no colours",
}


def env(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show folders, settings, devices and versions.

    Examples:
      vitret env
      VITRET_DATA=/big/disk vitret env --json
    """
    import json

    from vitret.core import config, runs

    places = config.locations()
    facts = {**runs.code(), "machine": runs.machine(), "devices": _devices()}
    if as_json:
        found = {p.name: {"path": str(p.path), "source": p.source, "purpose": p.purpose} for p in places}
        console.put(json.dumps({"locations": found, **facts}, indent=2))
        return
    console.table(
        (
            p.name,
            str(p.path),
            f"from {p.source}",
            p.purpose + ("" if p.path.exists() else "  (not there yet)"),
        )
        for p in places
    )
    console.table((name, os.environ.get(name) or "not set", meaning) for name, meaning in _SWITCHES.items())
    console.put("")
    machine = facts["machine"]
    console.table(
        [
            ("commit", facts["commit"] + (" with changes" if facts["dirty"] else "")),
            ("machine", f"{machine['system']} {machine['machine']}, {machine['cores']} cores"),
            ("devices", ", ".join(facts["devices"])),
            ("versions", ", ".join(f"{k} {v}" for k, v in facts["versions"].items())),
        ]
    )


def _devices() -> list[str]:
    import torch

    found = ["cpu"]
    found += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return found + (["mps"] if torch.backends.mps.is_available() else [])
