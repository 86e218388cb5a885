"""How others name what they publish: one layout a project, rules "published name -> our name" tried in order.

None marks what is left out on purpose (classifiers, heads of pre-training). Names were read in each project's code:
cirtorch (Radenović), DIR (Revaud), DOLG on pycls (Yang), Token (Wu), SOLAR (Ng), DINO, DINOv2, DINOv3 (Meta), MoCo v3
(Chen), LV-ViT (Jiang), the R50 hybrids of Google's ViT release, Unicom (An).
"""

from collections.abc import Sequence
from dataclasses import dataclass

Rules = Sequence[tuple[str, str | None]]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A project's names: what its files are, the network here that one of them fits, and the rules.

    A rule is a pattern for the beginning of a published name and what stands in its place; a number in <> counts one
    less. Names that begin with one of `draws` are in no file of the layout and keep what they were drawn with.
    """

    about: str
    fits: str
    rules: Rules
    draws: tuple[str, ...] = ()

    @property
    def has_attention(self) -> bool:
        """Whether files of this layout hold second-order attention (names with .soa)."""
        return any(ours is not None and ".soa" in ours for _, ours in self.rules)

    @property
    def has_head(self) -> bool:
        """Whether files of this layout hold a head too, or a backbone alone."""
        return any(ours is not None and ours.startswith("head.") for _, ours in self.rules)


# torchvision's ResNet as a list of children: convolution, norm, ReLU, pooling, four stages.
_CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_SEQUENTIAL: Rules = [(rf"features\.{i}\.", f"backbone.{name}.") for i, name in _CHILDREN.items()]
_HYBRID = r"backbone.patch_embed.backbone.stages.<\1>.blocks.<\2>."
_ENCODER = r"Transformer\.encoderblock_(\d+)\."
_PLAIN_VIT: Rules = [(r"(cls_token|pos_embed|patch_embed\.|blocks\.|norm\.)", r"backbone.\1")]

LAYOUTS: dict[str, Layout] = {
    "vitret": Layout(
        about="a run of vitret, as the frozen part under a new linear head",
        fits="the run's backbone with head {name: linear, base: the run's head}",
        rules=[(r"backbone\.(?:model\.)?", "backbone."), (r"head\.", "head.base.")],
        draws=("head.linear.",),
    ),
    "cirtorch": Layout(
        about="GeM, R-MAC and their relatives of cnnimageretrieval-pytorch, ResNets (Radenović)",
        fits="gem_r101; with a whitening layer (names in -w) gem_w_r101; as the start of solar; -r-w head regional_gem",
        rules=[
            *_SEQUENTIAL,
            (r"pool\.(?:rpool\.)?p$", "head.p"),
            (r"pool\.whiten\.", "head.whiten."),
            (r"whiten\.", "head.fc."),
        ],
    ),
    "dir": Layout(
        about="deep-image-retrieval: AP-GeM and TL-GeM on ResNets (Revaud)",
        fits="ap_gem",
        rules=[
            (r"(conv1|bn1|layer[1-4])\.", r"backbone.\1."),
            (r"adpool\.p$", "head.p"),
            (r"fc\.", "head.fc."),
        ],
    ),
    "dolg": Layout(
        about="DOLG on pycls' ResNets (Yang)",
        fits="dolg",
        rules=[
            (r"globalmodel\.stem\.conv\.", "backbone.conv1."),
            (r"globalmodel\.stem\.bn\.", "backbone.bn1."),
            # Blocks count from 1 there.
            (r"globalmodel\.s([1-4])\.b(\d+)\.proj\.", r"backbone.layer\1.<\2>.downsample.0."),
            (r"globalmodel\.s([1-4])\.b(\d+)\.bn\.", r"backbone.layer\1.<\2>.downsample.1."),
            (r"globalmodel\.s([1-4])\.b(\d+)\.f\.a\.", r"backbone.layer\1.<\2>.conv1."),
            (r"globalmodel\.s([1-4])\.b(\d+)\.f\.a_bn\.", r"backbone.layer\1.<\2>.bn1."),
            (r"globalmodel\.s([1-4])\.b(\d+)\.f\.b\.", r"backbone.layer\1.<\2>.conv2."),
            (r"globalmodel\.s([1-4])\.b(\d+)\.f\.b_bn\.", r"backbone.layer\1.<\2>.bn2."),
            (r"globalmodel\.s([1-4])\.b(\d+)\.f\.c\.", r"backbone.layer\1.<\2>.conv3."),
            (r"globalmodel\.s([1-4])\.b(\d+)\.f\.c_bn\.", r"backbone.layer\1.<\2>.bn3."),
            (r"localmodel\.aspp\.aspp\.", "head.atrous.aspp."),
            (r"localmodel\.aspp\.im_pool\.1\.", "head.atrous.im_pool."),
            (r"localmodel\.aspp\.conv_after\.0\.", "head.atrous.conv_after."),
            (r"localmodel\.", "head.localmodel."),
            (r"pool_g\.p$", "head.p"),
            (r"(fc_t|fc)\.", r"head.\1."),
            (r"desc_cls\.", None),
        ],
    ),
    "token": Layout(
        about="Token on ResNets (Wu)",
        fits="token",
        rules=[
            (r"backbone\.block1\.0\.", "backbone.conv1."),
            (r"backbone\.block1\.1\.", "backbone.bn1."),
            *((rf"backbone\.block{i + 1}\.", f"backbone.layer{i}.") for i in range(1, 5)),
            (r"tr\.", "head."),
            (r"classifier\.", None),
        ],
    ),
    "solar": Layout(
        about="SOLAR on ResNets (Ng)",
        fits="solar",
        rules=[
            (r"features\.conv1\.0\.", "backbone.conv1."),
            (r"features\.conv1\.1\.", "backbone.bn1."),
            (r"features\.conv2_x\.2\.", "backbone.layer1."),
            *((rf"features\.conv{i + 1}_x\.", f"backbone.layer{i}.") for i in range(2, 5)),
            (r"features\.soa[45]\.gamma$", None),  # made there and never used
            (r"features\.soa4\.", "backbone.soa3."),
            (r"features\.soa5\.", "head.soa."),
            (r"pool\.p$", "head.p"),
            (r"whiten\.", "head.fc."),
        ],
    ),
    "dino": Layout(
        about="DINO's ViT (Caron)",
        fits="timm:vit_small_patch16_224.dino with --head cls",
        rules=[(r"head\.", None), *_PLAIN_VIT],
    ),
    "dinov2": Layout(
        about="DINOv2's ViT, with registers or without (Oquab)",
        fits="dinov2_s",
        rules=[
            (r"mask_token$", None),
            (r"(?:dino_|ibot_)?head\.", None),
            (r"register_tokens$", "backbone.reg_token"),
            (r"blocks\.(\d+\.)?(\d+)\.mlp\.w12\.", r"backbone.blocks.\2.mlp.fc1."),
            (r"blocks\.(\d+\.)?(\d+)\.mlp\.w3\.", r"backbone.blocks.\2.mlp.fc2."),
            (r"blocks\.(\d+)\.(\d+)\.", r"backbone.blocks.\2."),  # chunks of blocks, as training wraps them
            *_PLAIN_VIT,
        ],
    ),
    "dinov3": Layout(
        about="DINOv3's ViT (Siméoni)",
        fits="timm:vit_small_patch16_dinov3 with --head cls",
        rules=[
            (r"mask_token$", None),
            (r"rope_embed\.", None),  # fixed frequencies
            (r".*\.bias_mask$", None),
            (r"local_cls_norm\.", None),
            (r"storage_tokens$", "backbone.reg_token"),
            (r"blocks\.(\d+)\.ls([12])\.gamma$", r"backbone.blocks.\1.gamma_\2"),
            *_PLAIN_VIT,
        ],
    ),
    "mocov3": Layout(
        about="MoCo v3's ViT (Chen)",
        fits="moco_v3_s",
        rules=[
            (r"(?:module\.)?(?:momentum_encoder|predictor)\.", None),
            (r"(?:module\.)?base_encoder\.head\.", None),
            (r"(?:module\.)?base_encoder\.", "backbone."),
        ],
    ),
    "lvvit": Layout(
        about="LV-ViT (Jiang)",
        fits="lvvit_s",
        rules=[(r"(head|aux_head)\.", r"backbone.\1."), *_PLAIN_VIT],
    ),
    "unicom": Layout(
        about="Unicom's ViT and head (An)",
        fits="unicom_vit_b16, unicom_vit_l14, at squares of 224 pixels",
        rules=[(r"feature\.", "head.feature."), *_PLAIN_VIT],
    ),
    "google_npz": Layout(
        about="Google's .npz files of the R50+ViT hybrid (Dosovitskiy)",
        fits="timm:vit_base_r50_s16_384 with --head cls; to start dtop from",
        rules=[
            (r"(head|pre_logits)\.", None),
            (r"conv_root\.", "backbone.patch_embed.backbone.stem.conv."),
            (r"gn_root\.", "backbone.patch_embed.backbone.stem.norm."),
            (r"block(\d+)\.unit(\d+)\.conv_proj\.", _HYBRID + r"downsample.conv."),
            (r"block(\d+)\.unit(\d+)\.gn_proj\.", _HYBRID + r"downsample.norm."),
            (r"block(\d+)\.unit(\d+)\.conv(\d)\.", _HYBRID + r"conv\3."),
            (r"block(\d+)\.unit(\d+)\.gn(\d)\.", _HYBRID + r"norm\3."),
            (r"embedding\.", "backbone.patch_embed.proj."),
            (r"cls$", "backbone.cls_token"),
            (r"Transformer\.posembed_input\.pos_embedding$", "backbone.pos_embed"),
            (r"Transformer\.encoder_norm\.", "backbone.norm."),
            (_ENCODER + r"LayerNorm_0\.", r"backbone.blocks.\1.norm1."),
            (_ENCODER + r"LayerNorm_2\.", r"backbone.blocks.\1.norm2."),
            (_ENCODER + r"MultiHeadDotProductAttention_1\.qkv\.", r"backbone.blocks.\1.attn.qkv."),
            (_ENCODER + r"MultiHeadDotProductAttention_1\.out\.", r"backbone.blocks.\1.attn.proj."),
            (_ENCODER + r"MlpBlock_3\.Dense_0\.", r"backbone.blocks.\1.mlp.fc1."),
            (_ENCODER + r"MlpBlock_3\.Dense_1\.", r"backbone.blocks.\1.mlp.fc2."),
        ],
    ),
}  # fmt: skip
