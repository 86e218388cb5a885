"""The families of timm: which head suits which, and which take images of one size alone.

A head is recommended by what the network was trained to give: its own head for image towers trained against texts,
the class token where there is one (DINO, DINOv2, DINOv3, EUPE, plain ViT; timm's default there is often the average),
GeM for a CNN, the mean of the tokens for what is left.
"""

from dataclasses import dataclass

from vitret.models.backbones import timm_model

# Modules of timm whose networks, or most of them, give a class token.
CLASS_TOKEN = frozenset(
    ("beit", "cait", "deit", "eva", "tnt", "vision_transformer", "vision_transformer_hybrid", "xcit")
)
# Transformers, mixers and state-space networks that give none.
MEAN = frozenset(
    (
        *("coat", "convit", "crossvit", "csatv2", "davit", "deepseek_vit", "efficientformer"),
        *("efficientformer_v2", "efficientvim", "efficientvit_mit", "efficientvit_msra", "focalnet", "gcvit"),
        *("gemma4_vit", "hiera", "hieradet_sam2", "iformer", "levit", "lowformer", "mambaout", "maxxvit"),
        *("metaformer", "mlp_mixer", "mobilevit", "mvitv2", "naflexvit", "nest", "nextvit", "pit", "pvt_v2"),
        *("qwen3_vit", "sequencer", "shvit", "swiftformer", "swin_transformer", "swin_transformer_v2"),
        *("swin_transformer_v2_cr", "tiny_vit", "twins", "vision_transformer_relpos"),
        *("vision_transformer_sam", "visformer", "vitamin", "volo", "cpubone"),
    )
)
# Families whose smallest member takes one size alone; others of the family may take more.
ONE_SIZE = frozenset(
    (
        *("beit", "cait", "coat", "convit", "crossvit", "efficientformer", "efficientformer_v2", "gcvit"),
        *("gemma4_vit", "hiera", "levit", "maxxvit", "mlp_mixer", "nest", "pit", "tnt", "visformer"),
        *("vision_transformer_relpos", "volo"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Family:
    """A module of timm: how many networks it has, the head of most, and whether images have any size."""

    networks: int
    head: str
    any_size: bool

    def __str__(self) -> str:
        sizes = "any image size" if self.any_size else "one image size"
        return f"{self.networks} networks, --head {self.head}, {sizes}"


def family_head(family: str) -> str:
    """The head for most networks of a family; native for those of them trained against texts.

    >>> family_head("resnet"), family_head("eva"), family_head("swin_transformer")
    ('gem', 'cls', 'mean')
    """
    if family in CLASS_TOKEN:
        return "cls"
    if family == "vitamin":
        return "native"
    return "mean" if family in MEAN else "gem"


def recommended_head(arch: str) -> str:
    """The head for one network, tag included, by what its weights were trained to give.

    >>> recommended_head("vit_base_patch16_siglip_224.webli"), recommended_head("vit_small_patch16_dinov3")
    ('native', 'cls')
    """
    shapes = timm_model.shape_only(arch)
    if shapes.has_own_head:
        return "native"
    if shapes.class_token:
        return "cls"
    family = timm_model.family(arch)
    return "mean" if family in MEAN or family in CLASS_TOKEN else "gem"


def all_families() -> dict[str, Family]:
    """Every family of timm, by name."""
    return {
        name: Family(networks=len(members), head=family_head(name), any_size=name not in ONE_SIZE)
        for name, members in timm_model.families().items()
    }
