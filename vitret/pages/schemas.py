"""JSON schemas of the YAML files that users write, made from the models that read them, for editors.

Where a part is named, its options come from the signature of its `build`: the one place that has their defaults.
"""

import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vitret.compare.claims import ClaimsFile
from vitret.compare.overlap.known import Facts
from vitret.compare.published import PublishedFile
from vitret.core import plugins
from vitret.core.ablations import Ablation
from vitret.core.networks import Part
from vitret.core.protocol import Suite
from vitret.core.recipes import LossSpec, Recipe, System, Track
from vitret.core.store import write_text
from vitret.core.zoo import Zoo

# What a schema is called → the model that reads the file, and where such files are.
MODELS: Mapping[str, tuple[type[BaseModel], str]] = {
    "system": (System, "configs/systems/*/*.yaml"),
    "track": (Track, "configs/tracks/*.yaml"),
    "suite": (Suite, "configs/suites/*.yaml"),
    "recipe": (Recipe, "configs/published/*.yaml, and recipe.yaml of each run"),
    "ablation": (Ablation, "configs/ablations/*.yaml"),
    "overlap": (Facts, "configs/overlap.yaml"),
    "published": (PublishedFile, "results/published/*.yaml"),
    "claims": (ClaimsFile, "results/claims/*.yaml"),
    "models": (Zoo, "configs/models.yaml"),
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# The definitions that name a part: whose field it is, and the family that the name is looked up in.
_PLACES = {
    ("ModelSpec", "backbone"): "backbones",
    ("ModelSpec", "head"): "heads",
    ("System", "sampler"): "samplers",
    ("System", "losses"): "losses",
}

Json = dict[str, Any]


def schema(name: str) -> Json:
    """The JSON schema (2020-12) of one kind of file; names a user's own parts where they are included."""
    model, files = MODELS[name]
    found = model.model_json_schema()
    definitions: Json = found.get("$defs", {})
    for owner, field in _PLACES:
        holder = found if model.__name__ == owner else definitions.get(owner)
        if holder is not None:
            _name_parts(holder["properties"][field], _PLACES[owner, field], definitions)
    for plain in (Part.__name__, LossSpec.__name__):
        definitions.pop(plain, None)
    return {"$schema": _DIALECT, **found, "title": f"vitret {name}", "$comment": files}


def write_schemas(folder: Path, names: Iterable[str]) -> list[Path]:
    """Write NAME.schema.json for each name; returns the files."""
    written = []
    for name in names:
        path = folder / f"{name}.schema.json"
        write_text(path, text_of(name))
        written.append(path)
    return written


def text_of(name: str) -> str:
    """The schema as JSON text."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False, default=str) + "\n"


def _name_parts(field: Json, family: str, definitions: Json) -> None:
    """Let a field that holds one part or a list of them say which parts there are."""
    definitions[family] = _any_part(family)
    reference = {"$ref": f"#/$defs/{family}"}
    if "items" in field:
        field["items"] = reference
    else:
        field["$ref"] = reference["$ref"]


def _any_part(family: str) -> Json:
    """A name, or a name with options beside it; the options of known parts are checked, those of others are free."""
    names = plugins.names(family)
    own: Json = {"weight": {"type": "number", "default": 1.0}} if family == "losses" else {}
    known = {"anyOf": [{"enum": names}, {"type": "string"}]}
    return {
        "description": f"A {plugins.one(family)}: its name, or its name with options beside it.",
        "anyOf": [
            known,
            {
                "type": "object",
                "required": ["name"],
                "properties": {"name": known, **own},
                "allOf": [_options_of(family, name, own) for name in names],
            },
        ],
    }


def _options_of(family: str, name: str, own: Json) -> Json:
    """If the name is this, then these are the options and no others."""
    about = inspect.getdoc(plugins.load(family, name).build) or ""
    properties: Json = plugins.options_model(family, name).model_json_schema().get("properties", {})
    return {
        "if": {"properties": {"name": {"const": name}}},
        "then": {
            "description": about.split("\n\n")[0],
            "properties": {"name": {"const": name}, **own, **properties},
            "additionalProperties": False,
        },
    }
