"""`vitret env`: every folder in use, which setting chose it, and the devices and versions found."""

import os
from typing import Annotated

import typer

from vitret.cli import console
from vitret.cli.options import Format

_SWITCHES = {
    "VITRET_INCLUDE": "folders with your own parts, as --include",
    "VITRET_MIRROR": "used instead of every official host: MIRROR/HOST/PATH",
    "VITRET_QUIET": "only errors on stderr, as --quiet",
    "NO_COLOR": "no colours",
}


def env(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    form: Format = "",
) -> None:
    """Show folders, settings, devices and versions.

    Examples:
      vitret env
      VITRET_DATA=/big/disk vitret env --json
      vitret env --format md
    """
    import json

    from vitret.core import config, runs

    places = config.locations()
    facts = {**runs.code(), "machine": runs.machine(), "devices": _devices()}
    if as_json or form == "json":
        found = {p.name: {"path": str(p.path), "source": p.source, "purpose": p.purpose} for p in places}
        console.put(json.dumps({"locations": found, **facts}, indent=2))
        return
    folders = [
        (
            p.name,
            str(p.path),
            f"from {p.source}",
            p.purpose + ("" if p.path.exists() else "  (not there yet)"),
        )
        for p in places
    ]
    switches = [(name, os.environ.get(name) or "not set", meaning) for name, meaning in _SWITCHES.items()]
    machine = facts["machine"]
    found_here = [
        ("commit", facts["commit"] + (" with changes" if facts["dirty"] else "")),
        ("machine", f"{machine['system']} {machine['machine']}, {machine['cores']} cores"),
        ("devices", ", ".join(facts["devices"])),
        ("versions", ", ".join(f"{k} {v}" for k, v in facts["versions"].items())),
    ]
    if form:
        rows = [*folders, *((n, v, "", m) for n, v, m in switches), *((n, v, "", "") for n, v in found_here)]
        console.table(rows, heads=("name", "value", "from", "meaning"), form=form)
        return
    console.table(folders)
    console.table(switches)
    console.put("")
    console.table(found_here)


def _devices() -> list[str]:
    import torch

    found = ["cpu"]
    found += [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return found + (["mps"] if torch.backends.mps.is_available() else [])
