"""Networks of others that are often asked for, as `configs/models.yaml` lists them: facts, each with its source."""

from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from vitret.core.config import Strict, location, read_yaml, validate

UNKNOWN = "not known"


def _as_written(schema: dict[str, Any]) -> None:
    """The JSON schema of a fact as it stands in the file."""
    pair = [{"type": ["string", "integer"]}, {"type": "string"}]
    about = schema["description"]
    schema.clear()
    schema["description"] = about
    schema["anyOf"] = [
        {"const": UNKNOWN},
        {"type": "array", "prefixItems": pair, "minItems": 2, "maxItems": 2},
    ]


class Fact(Strict):
    """A value and where it was read; written as a pair, `[Apache-2.0, timm]`."""

    model_config = ConfigDict(json_schema_extra=_as_written)

    value: str | int
    source: str

    @model_validator(mode="before")
    @classmethod
    def _of_pair(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and len(value) == 2:
            return {"value": value[0], "source": value[1]}
        return {"value": value, "source": ""} if value == UNKNOWN else value


class ZooModel(Strict):
    """One network: its name for `--systems`, and what is known of it. `size` is the side in pixels it was made for."""

    title: str
    network: str = Field(description="a name that `vitret bench --systems` takes")
    trust: bool = Field(default=False, description="it runs code of others")
    needs: str = Field(default="", description="what is to be done before the command works")
    head: str
    dim: Fact
    size: Fact
    licence: Fact
    pretraining: Fact
    suite: str = Field(default="", description="how to measure it, where it takes squares of one size alone")
    timm: str = Field(default="", description="a version of timm that has it, where older ones may not")
    systems: tuple[str, ...] = Field(default=(), description="systems that are this network, for its rows")

    @property
    def command(self) -> str:
        """The command that measures the network, on the landmarks suite unless it takes one size alone."""
        suite = f" --suite {self.suite}" if self.suite else ""
        trust = " --trust" if self.trust else ""
        return f"vitret bench --train-set none --systems {self.network}{suite}{trust}"


class Zoo(Strict):
    """All networks, and the full form of the sources that their facts name."""

    sources: dict[str, str]
    models: tuple[ZooModel, ...]

    @field_validator("models")
    @classmethod
    def _named_once(cls, value: tuple[ZooModel, ...]) -> tuple[ZooModel, ...]:
        names = [model.network for model in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"listed twice: {', '.join(twice)}")
        return value

    @model_validator(mode="after")
    def _sources_are_there(self) -> "Zoo":
        for model in self.models:
            for name in ("dim", "size", "licence", "pretraining"):
                fact = getattr(model, name)
                if fact.value != UNKNOWN and fact.source not in self.sources:
                    raise ValueError(f"{model.network}: {name} has no source called '{fact.source}'")
        return self


def read_zoo(configs: Path | None = None) -> tuple[ZooModel, ...]:
    """Every network of the list, in its order, the sources of its facts written out."""
    path = (configs or location("configs").path) / "models.yaml"
    zoo = validate(Zoo, read_yaml(path), str(path))
    return tuple(_written_out(model, zoo.sources) for model in zoo.models)


def _written_out(model: ZooModel, sources: dict[str, str]) -> ZooModel:
    facts = {name: getattr(model, name) for name in ("dim", "size", "licence", "pretraining")}
    return model.model_copy(
        update={
            name: fact.model_copy(update={"source": sources.get(fact.source, "")})
            for name, fact in facts.items()
        }
    )
