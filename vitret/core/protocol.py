"""How a number was measured: every switch that is known to move "mAP on ROxford", and the fingerprint of all of them.

Two numbers may stand in one table only when their fingerprints agree. The peers disagree on at least eleven
of these switches, some by six points or more (query crop at +1M, image size, AP formula, junk).
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from vitret.core import plugins
from vitret.core.approximate import IndexSpec
from vitret.core.config import Strict, validate
from vitret.core.records import LEVELS
from vitret.core.reranking import MatcherSpec
from vitret.core.store import digest


def metric_key(metric: str, level: str) -> str:
    """How a metric at a level is called in results and tables.

    >>> metric_key("mAP", "hard"), metric_key("R@1", "all")
    ('mAP (hard)', 'R@1')
    """
    return metric if level == "all" else f"{metric} ({level})"


def split_key(key: str) -> tuple[str, str]:
    """The inverse of `metric_key`.

    >>> split_key("mAP (hard)"), split_key("R@1")
    (('mAP', 'hard'), ('R@1', 'all'))
    """
    metric, _, level = key.partition(" (")
    return metric, level.rstrip(")") or "all"


class WhiteningSpec(Strict):
    """A learned mean and projection, and the training set it was fitted on."""

    kind: Literal["none", "lw", "pca", "pca_power"] = "none"
    data: str | None = None
    dim: int | None = Field(default=None, gt=0)
    power: float = 0.25

    @model_validator(mode="after")
    def _names_its_data(self) -> "WhiteningSpec":
        if self.kind != "none" and self.data is None:
            raise ValueError(
                f"whitening '{self.kind}' must name the training set it is fitted on (data: sfm120k)"
            )
        return self

    @property
    def words(self) -> str:
        """For a table's caption.

        >>> WhiteningSpec(kind="pca_power", data="sop", dim=128, power=0.5).words
        'pca_power 0.5 from sop to 128 dimensions'
        """
        if self.kind == "none":
            return "no whitening"
        power = f" {self.power:g}" if self.kind == "pca_power" else ""
        return f"{self.kind}{power} from {self.data}" + (f" to {self.dim} dimensions" if self.dim else "")


class ExpansionSpec(Strict):
    """Query expansion or database-side augmentation: `n` neighbours weighted by similarity to the power `alpha`."""

    kind: Literal["none", "aqe", "alpha_qe", "dba"] = "none"
    n: int = Field(default=10, gt=0)
    alpha: float = Field(default=3.0, ge=0)


class RerankSpec(Strict):
    """A second look at the first `depth` results.

    `shortlist` says who fills them: "plain" is the ranking as it is; "oracle" takes junk out with the ground
    truth first, as CVNet, RRT and AMES do, and is never shown beside "plain".
    """

    kind: str = "none"
    depth: int = Field(default=100, gt=0)
    shortlist: Literal["plain", "oracle"] = "plain"
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def learned(self) -> bool:
        """Whether it needs a trained matcher of image pairs: its part has an option of that name."""
        return self.kind != "none" and "matcher" in plugins.options("rerankers", self.kind)

    @property
    def matcher(self) -> MatcherSpec:
        """The matcher of a re-ranker that needs one."""
        assert self.learned
        return validate(MatcherSpec, self.options.get("matcher") or {}, f"re-ranker {self.kind}: matcher")

    def resolved(self) -> "RerankSpec":
        """The same with every default of the re-ranker and its matcher written out; refuses unknown options."""
        if self.kind == "none":
            return self
        options = plugins.resolve("rerankers", self.kind, {**self.options, "depth": self.depth})
        del options["depth"]
        if self.learned:
            options["matcher"] = self.matcher.model_dump(mode="json")
        return self.model_copy(update={"options": options})


class Protocol(Strict):
    """Everything between an image file and a number, apart from the model."""

    crop: Literal["box", "none"] = "box"
    boxes: Literal["round", "truncate"] = Field(
        default="round",
        exclude_if=lambda boxes: boxes == "round",
        description="a box's fractions of pixels: rounded as Pillow does, or cut off as DOLG's code does",
    )
    size: int = Field(default=1024, gt=0, description="pixels of the side that the size rule speaks of")
    size_rule: Literal["longer", "shorter", "square", "none"] = "longer"
    upscale: bool = False
    query_size: Literal["same_magnification", "same_size"] = "same_magnification"
    centre_crop: int | None = Field(default=None, gt=0)
    fit: Literal["round", "pad", "crop"] = "round"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    decode: Literal["full", "scaled"] = "full"
    exif: Literal["apply", "ignore"] = "ignore"
    scales: tuple[float, ...] = (1.0,)
    query_scales: tuple[float, ...] | None = Field(
        default=None,
        exclude_if=lambda scales: scales is None,
        description="of queries, where they have others",
    )
    aggregation: Literal["mean", "mean_raw", "gem", "scale_gem", "max"] = Field(
        default="mean",
        description="of unit descriptors; mean_raw: of what the head gives, before unit length",
    )
    whitening: WhiteningSpec = WhiteningSpec()
    search: Literal["exact"] | IndexSpec = "exact"
    expansion: ExpansionSpec = ExpansionSpec()
    rerank: RerankSpec = RerankSpec()
    ap: Literal["trapezoid"] = "trapezoid"
    junk: Literal["removed"] = "removed"
    ties: Literal["database index"] = "database index"
    empty_queries: Literal["left out"] = "left out"

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that differ when any switch differs."""
        return digest(self.model_dump(mode="json"))[:8]

    @model_validator(mode="after")
    def _searches_once(self) -> "Protocol":
        if self.search != "exact" and (self.expansion.kind, self.rerank.kind) != ("none", "none"):
            raise ValueError(f"search: {self.search.kind} is not combined with expansion or re-ranking")
        return self

    @model_validator(mode="after")
    def _queries_differ(self) -> "Protocol":
        if self.query_scales == self.scales:
            raise ValueError(f"query_scales are the scales, {self.scales}: leave them out")
        return self

    def of_queries(self) -> "Protocol":
        """How queries are described: as the database is, at their own scales."""
        scales = self.scales if self.query_scales is None else self.query_scales
        return self.model_copy(update={"scales": scales, "query_scales": None})

    def extraction(self) -> dict[str, Any]:
        """The switches that change the bytes of a descriptor, as the cache is keyed by them; see `of_queries`."""
        later = {"query_scales", "search", "expansion", "rerank", "ap", "junk", "ties", "empty_queries"}
        return self.model_dump(mode="json", exclude=later)

    @property
    def _crop_words(self) -> str:
        if self.crop == "none":
            return "query not cropped"
        return "query cropped" + (" at truncated boxes" if self.boxes == "truncate" else "")

    def line(self) -> str:
        """One line for a table's caption: only what differs from whole-image, single-scale, plain search is added."""
        side = self.size_rule if self.size_rule in ("square", "none") else f"{self.size_rule} side"
        parts = [
            f"{side} {self.size}",
            self._crop_words,
            self.interpolation,
            _count(self.scales),
        ]
        if self.query_scales is not None:
            parts.append(f"queries {_count(self.query_scales)}")
        if self.aggregation != "mean":
            parts.append(f"joined by {self.aggregation}")
        if self.centre_crop:
            parts.append(f"centre crop {self.centre_crop}")
        if self.decode == "scaled":
            parts.append("scaled decode")
        parts.append(self.whitening.words)
        if self.search != "exact":
            parts.append(self.search.words)
        if self.expansion.kind != "none":
            parts.append(f"{self.expansion.kind} n={self.expansion.n} α={self.expansion.alpha:g}")
        if self.rerank.kind != "none":
            parts.append(f"{self.rerank.kind} of top {self.rerank.depth}, {self.rerank.shortlist} shortlist")
        return ", ".join(parts)


def _count(scales: tuple[float, ...]) -> str:
    return f"{len(scales)} scale" + ("s" if len(scales) > 1 else "")


class Suite(Strict):
    """A way of measuring: which evaluation sets, with which distractors, under which protocol, which numbers."""

    name: str
    about: str = ""
    presets: tuple[str, ...] = Field(
        default=(), description="names of other tools whose protocol it is; they stand for the suite's name"
    )
    source: str = Field(default="", description="where the protocol of those tools was read")
    sets: tuple[str, ...]
    distractors: str | None = None
    levels: tuple[str, ...] = ("medium", "hard")
    metrics: tuple[str, ...] = ("mAP", "mP@10")
    primary: str = Field(default="mAP (hard)", description="the number rows are sorted by: METRIC (LEVEL)")
    protocol: Protocol = Protocol()

    @property
    def keys(self) -> tuple[str, ...]:
        """Every number the suite gives, by metric, then level."""
        return tuple(metric_key(metric, level) for metric in self.metrics for level in self.levels)

    def reduced(self, dim: int, data: str) -> "Suite":
        """The same with descriptors of `dim` dimensions, by the suite's whitening, else by PCA fitted on `data`.

        PCA divides by no variance, so that a table of several dimensions tells of dimensions alone.
        """
        own = self.protocol.whitening
        given = WhiteningSpec(kind="pca_power", data=data, dim=dim, power=0.0)
        spec = given if own.kind == "none" else own.model_copy(update={"dim": dim})
        protocol = self.protocol.model_copy(update={"whitening": spec})
        return self.model_copy(
            update={"name": f"{self.name}-{spec.kind.partition('_')[0]}{dim}", "protocol": protocol}
        )

    def searched(self, index: IndexSpec) -> "Suite":
        """The same with an approximate index in place of exact search."""
        given = {**self.protocol.model_dump(), "search": index.model_dump()}
        protocol = validate(Protocol, given, f"--search {index.kind}")
        return self.model_copy(update={"name": f"{self.name}-{index.kind}", "protocol": protocol})

    @model_validator(mode="after")
    def _known_levels(self) -> "Suite":
        unknown = set(self.levels) - set(LEVELS)
        if unknown:
            raise ValueError(f"unknown levels {sorted(unknown)}; known: {', '.join(LEVELS)}")
        if self.primary not in self.keys:
            raise ValueError(
                f"primary '{self.primary}' is not one of the suite's metrics at one of its levels"
            )
        return self


def differences(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """The leaves in which two dumped records differ: dotted key → (left, right).

    >>> differences({"size": 1024, "crop": "box"}, {"size": 512, "crop": "box"})
    {'size': (1024, 512)}
    """
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*a, *b}):
        left, right = a.get(key), b.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            found |= differences(left, right, f"{prefix}{key}.")
        elif left != right:
            found[f"{prefix}{key}"] = (left, right)
    return found
