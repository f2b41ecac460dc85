"""Which device torch works on: the processor, or a GPU where there is one."""

from typing import Any

from atomistic.structures import unknown
from coupling.errors import UserError

DEVICES = ("auto", "cpu", "cuda")


def torch_device(wanted: str = "auto") -> Any:
    """The torch device of a name: "cpu", "cuda", or "auto" (the GPU where there is one).

    Raises:
        UserError: an unknown name, or a GPU asked for that torch does not see.
    """
    import torch

    if wanted not in DEVICES:
        raise unknown("device", wanted, list(DEVICES))
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda': torch sees no GPU here; leave it at 'auto', or install a torch built for CUDA")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")
