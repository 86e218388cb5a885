"""A network as a record: its parts and their options, and whose weights it starts from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_serializer, model_validator

from vitret.core import plugins
from vitret.core.config import Strict

RANDOM_WEIGHTS = "random weights"
# Where networks of others come from, in front of their names; what follows is read in vitret/models/named.py.
PUBLISHERS = ("timm", "torchhub", "hf")


def is_published_network(name: str) -> bool:
    """Whether a name is of a network that others publish, and not of a system or run.

    >>> is_published_network("timm:resnet50"), is_published_network("dinov2_s")
    (True, False)
    """
    publisher, colon, _ = name.partition(":")
    return bool(colon) and publisher in PUBLISHERS


class Part(Strict):
    """A part's name and its options; written flat in YAML: `{name: gem, p: 3}`, or just `gem`."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and "options" not in value:
            own = {key: value[key] for key in cls._own_keys() if key in value}
            return {**own, "options": {key: v for key, v in value.items() if key not in own}}
        return value

    @classmethod
    def _own_keys(cls) -> set[str]:
        return {key for key in cls.model_fields if key != "options"}

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        own = {key: getattr(self, key) for key in type(self).model_fields if key != "options"}
        return {**own, **self.options}

    def resolved(self, family: str) -> "Part":
        """The same part with every default of its `build` written out; refuses unknown options."""
        return self.model_copy(update={"options": plugins.resolve(family, self.name, self.options)})


class CheckpointSpec(Strict):
    """Another project's published weights: the file, and how that project names its tensors."""

    file: str = Field(description="a path, or the name of a file in the folder of weights")
    layout: str = Field(description="vitret list layouts")


class ModelSpec(Strict):
    """A network from image to descriptor: a backbone that gives tokens and a head that makes one vector of them.

    With a checkpoint nothing else pre-trained is read, whatever the backbone's option `pretrained` says.
    """

    backbone: Part
    head: Part
    checkpoint: CheckpointSpec | None = Field(default=None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelSpec":
        if self.checkpoint is not None and self.backbone.options.get("weights") is not None:
            raise ValueError("weights come from `checkpoint` or from the backbone's `weights`, not from both")
        return self

    @property
    def starts_from(self) -> str:
        """Whose weights a resolved model has before its first step, in the words of a table.

        Those of a network of another project are its repository's, at a commit. The weights of an architecture without
        a tag are timm's default, which depends on timm's version. A backbone that has none of the options `weights`,
        `pretrained` and `source` starts from random weights.
        >>> backbone = {"name": "timm_model", "arch": "resnet101.tv_in1k", "pretrained": True}
        >>> ModelSpec.model_validate({"backbone": backbone, "head": "gem"}).starts_from
        'timm: tv_in1k'
        """
        options = self.backbone.options
        if self.checkpoint is not None:
            return f"{self.checkpoint.layout}: {Path(self.checkpoint.file).name}"
        if options.get("weights") is not None:
            return f"file: {Path(options['weights']).name}"
        if options.get("source") is not None and options.get("pretrained", True):
            return f"{options['source']}@{str(options.get('commit'))[:14]}"
        if not options.get("pretrained"):
            return RANDOM_WEIGHTS
        return f"timm: {str(options.get('arch')).partition('.')[2] or 'default tag'}"

    @property
    def architecture(self) -> str:
        """The name of the network without its head, in the words of a table."""
        options = self.backbone.options
        foreign = ":".join(str(options[key]) for key in ("source", "entry") if key in options)
        return foreign or str(options.get("arch", self.backbone.name))

    def resolved(self) -> "ModelSpec":
        return ModelSpec(
            backbone=self.backbone.resolved("backbones"),
            head=self.head.resolved("heads"),
            checkpoint=self.checkpoint,
        )
