"""A MACE model given vectors beside its scalars, which says at first what it said before: fits go on from there.

Vectors between neighbours (hidden irreps N×0e + N×1o, "max_L = 1") describe more than scalars with as many channels; a fit
that starts from a fitted model of scalars keeps what that has learned (function-preserving growth: Chen, Goodfellow & Shlens,
"Net2Net", arXiv:1511.05641).
"""

from typing import Any

import torch

from atomistic import mace_model
from atomistic.fast_mace import paths
from coupling.errors import UserError


def max_degree(model: Any) -> int:
    """Largest degree L of a model's hidden features (mace-torch's max_L)."""
    return int(model.products[0].linear.irreps_out.lmax)


def with_vectors(model: Any, seed: int) -> Any:
    """The model with as many vectors as it has scalars; a model that has vectors is given back as it is.

    What vectors change begins at zero (the radial weights of their messages), all else of them random by the seed.

    Raises:
        UserError: a model that has not two layers, between which vectors are passed.
    """
    if max_degree(model) > 0:
        return model
    if (layers := len(model.interactions)) != 2:
        raise UserError(f"max_L = 1: the model to start from has {layers} layers; one of two layers can be given vectors")
    config = mace_model.config_of(model)
    channels = int(model.products[0].linear.irreps_out.dim)
    torch.manual_seed(seed)
    wide = mace_model.build(config | {"hidden_irreps": f"{channels}x0e + {channels}x1o"})
    old, new = model.state_dict(), wide.state_dict()
    state = {name: old[name] if name in old and old[name].shape == value.shape else value for name, value in new.items()}
    for name in ("products.0.linear.weight", "interactions.1.linear_up.weight"):  # the block of scalars comes first
        state[name][: channels**2] = old[name]
    before, after = paths(model.interactions[1].conv_tp), paths(wide.interactions[1].conv_tp)
    (radial,) = (name for name in new if "interactions.1.conv_tp_weights" in name and old[name].shape != new[name].shape)
    mixing = "interactions.1.linear.weight"
    state[radial] = torch.zeros_like(new[radial])
    columns, theirs = state[radial].view(-1, len(after), channels), old[radial].view(-1, len(before), channels)
    blocks, own = state[mixing].view(len(after), channels, channels), old[mixing].view(len(before), channels, channels)
    for place, path in enumerate(before):
        there = after.index(path)
        columns[:, there] = theirs[:, place]
        # e3nn divides by the root of the paths that lead to one degree; before there was one
        blocks[there] = own[place] * sum(one.out == path.out for one in after) ** 0.5
    wide.load_state_dict(state)
    return wide
