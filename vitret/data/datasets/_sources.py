"""Facts that several cards share: the hosts of VGG Oxford and CMP Prague, their terms, the corrupt Paris files."""

from vitret.data.card import Count, File, KnownBad, Licence, Overlap, Terms
from vitret.data.formats.trees import layouts

VGG_LICENCE = Licence(
    text="Flickr photographs; copyright stays with the photographers. Research use under VGG's terms of access.",
    commercial=False,
    redistribution=False,
)
VGG_TERMS = Terms(
    text="You agree to Flickr's terms of use, to the VGG Terms of Access and to its privacy notice. VGG asks that the "
    "version with blurred faces (-v1) be used.",
    url="https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/",
    accept_required=True,
)
OXFORD_HOME = "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/"
PARIS_HOME = "https://www.robots.ox.ac.uk/~vgg/data/parisbuildings/"
REVISITED_HOME = "http://cmp.felk.cvut.cz/revisitop/"
OXFORD_CITATION = (
    "Philbin, Chum, Isard, Sivic, Zisserman: Object retrieval with large vocabularies "
    "and fast spatial matching. CVPR 2007."
)
PARIS_CITATION = (
    "Philbin, Chum, Isard, Sivic, Zisserman: Lost in quantization: improving particular object "
    "retrieval in large scale "
    "image databases. CVPR 2008."
)
REVISITED_CITATION = (
    "Radenović, Iscen, Tolias, Avrithis, Chum: Revisiting Oxford and Paris: large-scale image retrieval benchmarking. "
    "CVPR 2018."
)

OXFORD_IMAGES = File(
    name="oxbuild_images-v1.tgz",
    role="images",
    urls=(
        "https://thor.robots.ox.ac.uk/oxbuildings/oxbuild_images-v1.tgz",
        "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/oxbuild_images-v1.tgz",
    ),
    size=1_938_238_004,
    archive="tar",
    into="jpg",
)
# The size of 1,269,538,001 bytes that circulates for paris_1 may be that of either variant, so none is given.
PARIS_IMAGES = tuple(
    File(
        name=f"paris_{part}-v1.tgz",
        role="images",
        urls=(
            f"https://thor.robots.ox.ac.uk/parisbuildings/paris_{part}-v1.tgz",
            f"https://www.robots.ox.ac.uk/~vgg/data/parisbuildings/paris_{part}-v1.tgz",
        ),
        about=1_270_000_000,
        archive="tar",
        into="jpg",
        flatten=True,
    )
    for part in (1, 2)
)


def _peers(own: str, twin: str) -> tuple[str, ...]:
    """Folders in which cirtorch, revisitop and deep-image-retrieval keep a set; the images may stand with its twin."""
    above = ("", "test/", "data/test/", "datasets/", "data/datasets/")
    return ("", *(f"{folder}{name}" for name in (own, twin) for folder in above))


def oxford_tree(own: str, twin: str) -> dict[str, tuple[str, ...]]:
    """Images and pickled ground truth of an Oxford or Paris set, in every known layout."""
    return {
        "images": layouts(["jpg"], _peers(own, twin)),
        "truth": layouts([f"gnd_{own}.pkl", f"gnd_{own}.json"], _peers(own, twin)),
    }


def original_tree(own: str, twin: str) -> dict[str, tuple[str, ...]]:
    """Images and text ground truth of an original set; cirtorch's pickle serves where the texts are absent."""
    tree = oxford_tree(own, twin)
    return {
        "images": tree["images"],
        "truth": (
            *layouts(["gt", "gt_files_170407" if "oxford" in own else "paris_120310"], _peers(own, twin)),
            *tree["truth"],
        ),
    }


PARIS_CORRUPT = tuple(
    KnownBad(
        path=f"paris_{name}_{number:06d}.jpg", reason="an HTML page ('302 Found') in place of a photograph"
    )
    for name, numbers in {
        "louvre": (136, 146),
        "moulinrouge": (422,),
        "museedorsay": (1059,),
        "notredame": (188,),
        "pantheon": (284, 960, 974),
        "pompidou": (195, 196, 201, 467, 640),
        "sacrecoeur": (299, 330, 353),
        "triomphe": (662, 833, 863, 867),
    }.items()
    for number in numbers
)

LANDMARK_OVERLAPS = (
    Overlap(
        set="gldv2-clean",
        what="shows landmarks of the evaluation set: 38 of 70 ROxford and 36 of 70 RParis queries "
        "have a near duplicate",
        source="RGLDv2, CVPR 2024",
    ),
)


def verified(value: int, source: str = "") -> Count:
    """A count that was checked on the files themselves."""
    return Count(value=value, verified=True, source=source)


def unconfirmed(value: int, source: str = "") -> Count:
    """A count from literature or memory: expected, unconfirmed; never fails a preparation."""
    return Count(value=value, verified=False, source=source)


def revisited_truth(name: str, *, size: int, md5: str, sha256: str | None = None) -> File:
    """The ground-truth pickle of a revisited set on its two official paths."""
    return File(
        name=f"gnd_{name}.pkl",
        role="truth",
        urls=(
            f"http://cmp.felk.cvut.cz/revisitop/data/datasets/{name}/gnd_{name}.pkl",
            f"http://cmp.felk.cvut.cz/cnnimageretrieval/data/test/{name}/gnd_{name}.pkl",
        ),
        size=size,
        md5=md5,
        sha256=sha256,
        hash_source="third party",
    )
