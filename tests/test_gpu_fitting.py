"""The steps of a fit on a GPU: batches filled up to a fixed shape count for nothing, and a captured step is a step."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

torch = pytest.importorskip("torch", reason="needs torch")
if importlib.util.find_spec("mace") is None:  # importing mace leaves traces
    pytest.skip("mace-torch is needed", allow_module_level=True)

from atomistic import fitting, gpu_fitting  # noqa: E402
from atomistic.fast_mace import batch, sample  # noqa: E402

SMALL = {
    "channels": 16, "max_L": 0, "r_max": 4.0, "radial_basis": 4, "cutoff_power": 5, "radial_layers": [8, 8], "readout_width": 4,
}  # fmt: skip
SETTINGS = fitting.FitSettings(atoms_per_batch=14)


def _frames() -> list[Atoms]:
    """Seven cells of 3 to 6 atoms of two species, some dense and some wide, with labels drawn at random."""
    rng = np.random.default_rng(4)
    frames = []
    for number in range(7):
        count = 3 + number % 4
        frame = Atoms(["Li", "S", "Li", "Li", "S", "Li"][:count])
        frame.set_cell(np.eye(3) * (4.2 + 0.5 * number))
        frame.pbc = True
        frame.set_scaled_positions(rng.random((count, 3)))
        frame.info |= {"REF_energy": float(rng.normal()), "REF_stress": rng.normal(scale=0.01, size=6)}
        frame.arrays["REF_forces"] = rng.normal(size=(count, 3))
        frames.append(frame)
    return frames


def _begun(frames: list[Atoms], device: str = "cpu") -> tuple:
    """Model, samples and weights of a fit that has not moved yet."""
    model = fitting.new_model(frames, SMALL, seed=2).float().to(device).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    averaged = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.Adam(parameters, lr=0.01, betas=(0.9, 0.99), capturable=device == "cuda")
    return model, [sample(f, 4.0) for f in frames], fitting.Weights(parameters, averaged, averaged, optimizer)


def test_a_filled_batch_has_the_loss_and_the_gradients_of_its_frames() -> None:
    frames = _frames()
    model, samples, weights = _begun(frames)
    steps = gpu_fitting.CapturedSteps(model, samples, weights, SETTINGS)
    numbers = [int(z) for z in model.atomic_numbers]
    for one in steps.shelves:
        group = list(range(min(2, len(one.members))))
        one.plan.copy_(torch.as_tensor(one.write_plan(group)))
        filled = one.batch()
        plain = batch([samples[one.members[i]] for i in group], numbers, 4.0, torch.float32)
        assert len(filled.species) > len(plain.species)
        found = []
        for data in (filled, plain):
            model.zero_grad()
            value = fitting.loss(model, data, SETTINGS)
            value.backward()
            found.append([value.detach(), *(p.grad.clone() for p in weights.parameters)])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-4)


def test_every_frame_is_in_one_batch_of_an_epoch_and_batches_keep_to_their_size() -> None:
    frames = _frames()
    model, samples, weights = _begun(frames)
    steps = gpu_fitting.CapturedSteps(model, samples, weights, SETTINGS)
    seen = []
    for one, plan in steps.groups(3):
        chosen = [int(i) for i in plan[3 * one.places :] if int(i) < len(one.members)]
        real = (plan[: one.places] < len(one.species) - 1).sum()
        assert int(real) == sum(one.sizes[i] for i in chosen) <= SETTINGS.atoms_per_batch
        seen += [one.members[i] for i in chosen]
    assert sorted(seen) == list(range(len(frames)))
    assert [plan.tolist() for _, plan in steps.groups(3)] != [plan.tolist() for _, plan in steps.groups(4)]


def test_a_step_moves_the_weights_as_the_plain_one_does() -> None:
    frames = _frames()[:1]
    ends = []
    for kind in (fitting.Steps, gpu_fitting.CapturedSteps):
        model, samples, weights = _begun(frames)
        steps = kind(model, samples, weights, SETTINGS)
        for step in range(3):
            for group in steps.groups(step):
                steps.take(group, 0.003, 0.5)
        ends.append((steps.mean_loss(), torch.cat([p.detach().ravel() for p in (*weights.parameters, *weights.averaged)])))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-5)
    torch.testing.assert_close(ends[0][1], ends[1][1], rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_captured_fit_goes_where_the_plain_one_goes(tmp_path: Path) -> None:
    frames = _frames()
    ends = []
    for device in ("cpu", "cuda"):
        seen: list[fitting.Epoch] = []
        model = fitting.new_model(frames, SMALL, seed=2)
        settings = fitting.FitSettings(atoms_per_batch=1000, learning_rate=0.001)
        one_width = [frame for frame in frames if len(frame) == 3]
        fitting.fit(model, one_width, frames[:2], 20, settings, 1, tmp_path / f"{device}.pt", seen.append, device)
        ends.append(seen[-1])
    assert ends[0].forces == pytest.approx(ends[1].forces, rel=0.05)
