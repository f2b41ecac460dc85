"""The gradient of a fit's loss on a CPU, by central differences of first derivatives, against second derivatives of torch."""

import sys
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

import atomistic
from atomistic import fitting, mace_model, potential, quick_gradients
from atomistic.fast_mace import batch, sample
from atomistic.structures import bulk
from atomistic.widening import with_vectors
from coupling.errors import UserError

SETTINGS = fitting.FitSettings(huber_forces=0.1, forces_weight=6.0)


def labelled(atoms: Atoms, seed: int) -> Atoms:
    """The structure with made-up labels, rattled."""
    random = np.random.default_rng(seed)
    atoms.rattle(0.1, seed=seed)
    atoms.info = {"REF_energy": -4.0 * len(atoms), "REF_stress": 0.01 * random.normal(size=6)}
    atoms.arrays["REF_forces"] = random.normal(size=(len(atoms), 3))
    return atoms


def model_of(vectors: bool) -> Any:
    """The shipped member in single precision; with vectors every weight is moved, so that none of them is silent."""
    model = mace_model.load(potential.SHIPPED / "lpscl" / "member-0")
    if vectors:
        model = with_vectors(model, 1)
        torch.manual_seed(1)
        with torch.no_grad():
            for values in (each for each in model.parameters() if each.numel()):
                values += 0.02 * torch.randn_like(values) * values.abs().mean().clamp(min=0.1)
    return model.float().train()


def gradient(model: Any, data: Any, how: Any) -> tuple[float, list[torch.Tensor]]:
    """Loss, and its gradient by every weight."""
    weights = [p for p in model.parameters() if p.requires_grad]
    for p in weights:
        p.grad = None
    value = how(model, data, SETTINGS)
    return float(value), [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in weights]


@pytest.mark.parametrize("vectors", [False, True])
def test_the_gradient_is_that_of_second_derivatives(vectors: bool) -> None:
    """Of crystals, and of an atom that nothing reaches, to 1e-3 of the gradient of every weight."""
    model = model_of(vectors)
    alone = Atoms("LiCl", positions=[[0, 0, 0], [15, 15, 15]], cell=[30.0, 30.0, 30.0], pbc=True)
    frames = [labelled(bulk("Li6PS5Cl"), 1), labelled(bulk("Li3P"), 2), labelled(alone, 3)]
    r_max, numbers = float(model.r_max), [int(z) for z in model.atomic_numbers]
    for chosen in (frames, frames[2:]):
        data = batch([sample(frame, r_max) for frame in chosen], numbers, r_max, torch.float32)
        exact, expected = gradient(model, data, fitting.backward)
        value, found = gradient(model, data, quick_gradients.backward)
        assert value == pytest.approx(exact, rel=3e-4)
        whole = float(torch.cat([one.flatten() for one in expected]).norm())
        for one, other in zip(expected, found, strict=True):
            assert float((one - other).norm()) <= 2e-3 * float(one.norm()) + 1e-5 * whole


def test_forces_and_stresses_are_those_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """What enters the loss; the interpolated radial functions leave 2e-4 eV/Å."""
    from atomistic.fast_mace import predict

    model = model_of(True)
    r_max, numbers = float(model.r_max), [int(z) for z in model.atomic_numbers]
    frames = [labelled(bulk("Li6PS5Cl"), 1), labelled(bulk("Li2S"), 2)]
    data = batch([sample(frame, r_max) for frame in frames], numbers, r_max, torch.float32)
    told: list[Any] = []
    whole = fitting.loss_of
    monkeypatch.setattr(fitting, "loss_of", lambda *values: told.append(values) or whole(*values))
    quick_gradients.backward(model, data, SETTINGS)
    (energies, forces, stresses, *_), exact = told[0], predict(model, data)
    assert torch.allclose(energies, exact[0], rtol=0, atol=1e-5 * float(data.sizes.sum()))
    assert torch.allclose(forces, exact[1], rtol=0, atol=2e-4)
    assert torch.allclose(stresses, exact[2], rtol=0, atol=2e-6)


def test_a_label_that_is_no_number_gives_no_gradient() -> None:
    """Nor do vectors that are none lead the compiled loops out of their tables."""
    model = model_of(False)
    frame = labelled(bulk("Li2S"), 1)
    r_max, numbers = float(model.r_max), [int(z) for z in model.atomic_numbers]
    data = batch([sample(frame, r_max)], numbers, r_max, torch.float32)
    data.energies.fill_(float("nan"))
    value, found = gradient(model, data, quick_gradients.backward)
    assert np.isnan(value)
    assert not any(one.any() for one in found)
    knot, weights = quick_gradients._interpolation(torch.tensor([float("nan"), 1.0, 1e9]), 404)
    assert knot.min() >= 0
    assert knot.max() <= 400
    assert bool(torch.isfinite(weights[1:]).all())


def test_a_model_of_higher_products_is_fitted_by_second_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a fit without Numba says what is missing."""
    config = mace_model.config_of(mace_model.load(potential.SHIPPED / "lpscl" / "member-0"))
    assert fitting.gradient_of(mace_model.build(config)) is quick_gradients.backward
    assert fitting.gradient_of(mace_model.build(config | {"correlation": 4, "max_ell": 1})) is fitting.backward
    monkeypatch.delitem(sys.modules, "atomistic.quick_gradients")
    monkeypatch.delattr(atomistic, "quick_gradients")
    monkeypatch.delitem(sys.modules, "atomistic.kernels")
    monkeypatch.delattr(atomistic, "kernels")
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(UserError, match="a fit on a CPU needs Numba"):
        fitting.gradient_of(mace_model.build(config))
