"""The evidence of one audit: ranked pairs of a training and an evaluation image, with all parts of their score."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from vitret.core.config import Strict, validate
from vitret.core.errors import UserError
from vitret.core.pairs import (
    NO,
    PHOTOGRAPH,
    PLACE,
    REWRITE,
    UNCLEAR,
    YES,
    ListedPair,
    Proposal,
    Verdict,
    read_pairs_file,
)
from vitret.core.store import digest, read_json_object, write_json

SCHEMA = 1
# Below these, a pair is no proposal. docs/overlap.md says what they were tried on.
PHOTOGRAPH_PIXELS, PHOTOGRAPH_INLIERS = 0.85, 15
PHOTOGRAPH_BITS = 4
PLACE_INLIERS = 23
# Inliers and bits at which a part of the score is full, and empty.
FULL_INLIERS, FAR_BITS = 40, 16


class Trained(Strict):
    """The training set as it was compared."""

    name: str
    digest: str
    images: int


class Evaluated(Strict):
    """The evaluation set as it was compared."""

    name: str
    digest: str
    queries: int = Field(gt=0)
    positives: int


class _Descriptor(BaseModel):
    name: str
    protocol: str


class _Code(BaseModel):
    commit: str


class _WrittenParts(BaseModel):
    cosines: tuple[float | None, ...]
    hash_bits: int | None
    inliers: int
    matches: int
    pixels: float
    mirrored: bool


class _WrittenPair(ListedPair):
    image: str
    role: Literal["query", "positive"]
    score: float
    proposal: Proposal
    verdict: Verdict | None
    parts: _WrittenParts


class _EvidenceFile(BaseModel):
    """What the verb, its page and a record need of an evidence file."""

    train: Trained
    evaluation: Evaluated
    descriptors: tuple[_Descriptor, ...]
    settings: dict[str, int | float]
    compared: int
    code: _Code
    pairs: tuple[_WrittenPair, ...]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What speaks for a pair: cosines by network, bits by which the hashes differ, geometry.

    `cosines` are in the order of the audit's networks, each the greatest of its sizes, None where the pair was not
    computed; `bits` is None beyond the search radius.
    """

    cosines: tuple[float | None, ...]
    bits: int | None
    inliers: int
    matches: int
    pixels: float
    mirrored: bool

    @property
    def score(self) -> float:
        """Sum of four parts, each in [0, 1]: mean cosine, hash, inliers, agreement of pixels."""
        known = [max(0.0, cosine) for cosine in self.cosines if cosine is not None]
        cosine = sum(known) / len(self.cosines) if known else 0.0
        near = 0.0 if self.bits is None else max(0.0, 1 - self.bits / FAR_BITS)
        pixels = max(0.0, self.pixels) if self.inliers >= PHOTOGRAPH_INLIERS else 0.0
        return cosine + near + min(1.0, self.inliers / FULL_INLIERS) + pixels

    @property
    def proposal(self) -> str:
        """What a pair is taken for until its pictures are looked at."""
        same = self.pixels >= PHOTOGRAPH_PIXELS and self.inliers >= PHOTOGRAPH_INLIERS
        if same or (self.bits is not None and self.bits <= PHOTOGRAPH_BITS):
            return PHOTOGRAPH
        return PLACE if self.inliers >= PLACE_INLIERS else UNCLEAR


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A training image and a query or a positive; `queries` are the rows of all queries that the pair concerns."""

    train: str
    label: int
    image: str
    role: str
    queries: tuple[int, ...]
    parts: Parts

    @property
    def id(self) -> str:
        """The same for the same two images in the same role."""
        return digest([self.train, self.image, self.role])[:12]

    def written(self) -> dict[str, Any]:
        """For JSON, with numbers of at most four digits after the point."""
        parts = self.parts
        return {
            "id": self.id,
            "train": self.train,
            "label": self.label,
            "image": self.image,
            "role": self.role,
            "queries": list(self.queries),
            "score": round(parts.score, 4),
            "proposal": parts.proposal,
            "verdict": None,
            "parts": {
                "cosines": [None if c is None else round(c, 4) for c in parts.cosines],
                "hash_bits": parts.bits,
                "inliers": parts.inliers,
                "matches": parts.matches,
                "pixels": round(parts.pixels, 4),
                "mirrored": parts.mirrored,
            },
        }


def ranked(pairs: list[Pair], *, keep: int) -> list[dict[str, Any]]:
    """Pairs in JSON form, the strongest first: every proposal, and the `keep` best of the unclear ones."""
    ordered = sorted((pair.written() for pair in pairs), key=_place)
    unclear = [pair["id"] for pair in ordered if pair["proposal"] == UNCLEAR][keep:]
    left_out = set(unclear)
    return [pair for pair in ordered if pair["id"] not in left_out]


def write_evidence(path: Path, evidence: dict[str, Any]) -> None:
    write_json(path, evidence)


def read_evidence(path: Path) -> dict[str, Any]:
    """An evidence file; raises `UserError` for a file of another kind and for a wrong value."""
    value = read_json_object(path, advice=REWRITE)
    if not {"schema", "pairs"} <= value.keys():
        raise UserError(f"{path}: is no evidence of `vitret overlap`. Name another file: --out FILE.json")
    if value["schema"] != SCHEMA:
        raise UserError(f"{path}: is no evidence of this version. {REWRITE}")
    validate(_EvidenceFile, value, str(path), advice=REWRITE)
    return value


def with_verdicts(evidence: dict[str, Any], path: Path) -> dict[str, Any]:
    """The evidence with the verdicts that were decided in a file that the page saved; other pairs keep theirs.

    A verdict that was taken back on the page is decided and null. A file that does not say what was decided decides
    what it has verdicts on. Raises `UserError` for verdicts on other bytes of the two sets, or on pairs the evidence
    does not have.
    """
    given_file = read_pairs_file(path)
    for side in ("train", "evaluation"):
        said = given_file.get(side)
        if (
            isinstance(said, dict)
            and said.get("digest", evidence[side]["digest"]) != evidence[side]["digest"]
        ):
            raise UserError(
                f"{path}: its verdicts are on other bytes of {evidence[side]['name']} than this evidence."
            )
    decided = [pair for pair in given_file["pairs"] if pair.get("decided", bool(pair.get("verdict")))]
    given = {pair["id"]: pair.get("verdict") for pair in decided}
    known = {pair["id"] for pair in evidence["pairs"]}
    strange = sorted(given.keys() - known)
    if strange:
        raise UserError(
            f"{path}: has verdicts on {len(strange)} pairs that are not in this evidence, first {strange[0]}. "
            "Is it of another audit?"
        )
    judged = [{**pair, "verdict": given.get(pair["id"], pair["verdict"])} for pair in evidence["pairs"]]
    return {**evidence, "pairs": judged}


def require_same_bytes(before: dict[str, Any], digests: Mapping[str, str], *, path: Path) -> None:
    """Raises `UserError` where evidence, of `path`, has verdicts on sets of other digests than those of its sides."""
    judged = sum(bool(pair["verdict"]) for pair in before["pairs"])
    other = [before[side]["name"] for side, known in digests.items() if before[side]["digest"] != known]
    if other and judged:
        raise UserError(
            f"{path}: has verdicts on {judged} pairs, which are of other bytes of {other[0]} than those here now. "
            "Name another file: --out FILE.json"
        )


def continued(evidence: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """New evidence with the verdicts of the evidence before it, where that is of the same bytes.

    A pair with a verdict that the new audit did not compare stays, without cosines.
    """
    if any(before[side]["digest"] != evidence[side]["digest"] for side in ("train", "evaluation")):
        return evidence
    judged = {pair["id"]: pair for pair in before["pairs"] if pair["verdict"]}
    found = {pair["id"] for pair in evidence["pairs"]}
    networks = len(evidence["descriptors"])
    pairs = [
        {**pair, "verdict": judged[pair["id"]]["verdict"]} if pair["id"] in judged else pair
        for pair in evidence["pairs"]
    ]
    kept = [_without_cosines(pair, networks) for name, pair in judged.items() if name not in found]
    compared = evidence["compared"] + len(kept)
    return {**evidence, "compared": compared, "pairs": sorted([*pairs, *kept], key=_place)}


def _without_cosines(pair: dict[str, Any], networks: int) -> dict[str, Any]:
    """A written pair as `networks` see it that did not compare it."""
    written = pair["parts"]
    parts = Parts(
        cosines=(None,) * networks,
        bits=written["hash_bits"],
        inliers=written["inliers"],
        matches=written["matches"],
        pixels=written["pixels"],
        mirrored=written["mirrored"],
    )
    about = {"score": round(parts.score, 4), "proposal": parts.proposal}
    return {**pair, **about, "parts": {**written, "cosines": list(parts.cosines)}}


def _place(pair: Mapping[str, Any]) -> tuple[float, str]:
    """The strongest first."""
    return -pair["score"], pair["id"]


def summary(evidence: dict[str, Any]) -> dict[str, int]:
    """How many pairs there are of each proposal, and of each verdict."""
    counts = dict.fromkeys((PHOTOGRAPH, PLACE, UNCLEAR, YES, NO), 0)
    for pair in evidence["pairs"]:
        counts[pair["proposal"]] += 1
        if pair["verdict"]:
            counts[pair["verdict"]] += 1
    return counts
