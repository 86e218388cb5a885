"""Import torchvision, also where PyPI's CUDA-built one stands beside a CPU-only torch.

There `import torchvision` dies with "operator torchvision::nms does not exist" (pytorch/vision#9085), because its
library with the operators cannot be loaded. Declaring the schemas lets its Python part be imported, which is all that
timm, transformers and most networks of others need. Can go when torchvision imports without its operators.
"""

import sys

import torch


def import_torchvision() -> None:
    """Make `import torchvision` work for whatever is imported after this."""
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(schema)  # type: ignore[no-untyped-call]
        import torchvision

        # The declarations vanish with the object that made them.
        torchvision.schemas_of_missing_operators = library
