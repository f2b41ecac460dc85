"""Speed of a fit on one core of a CPU: gradient of the loss of a batch, in atoms per second, three ways on the same weights.

env/exec python benchmarks/fits.py [--potential lpscl] [--atoms 160] [--repeats 5]

mace-torch's own model and graph, the product's padded evaluator with torch's second derivatives (`fitting.backward`), and the
product's loops of first derivatives with a central difference (`quick_gradients.backward`, what fits on a CPU use). Float32; each
gradient is compared with that of second derivatives in float64.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms


def frames_of(name: str, atoms: int) -> list[Atoms]:
    """Held-out frames of a shipped potential, so many atoms in all."""
    from atomistic import dataset, potential

    held = [frame for frame in dataset.read(potential.folder_of(name) / "held_out.h5") if 40 <= len(frame) <= 120]
    order = np.random.default_rng(1).permutation(len(held))
    chosen: list[Atoms] = []
    for place in order:
        if sum(map(len, chosen)) < atoms:
            chosen.append(held[place])
    return chosen


def by_mace_torch(model: Any, frames: list[Atoms], data: Any, settings: Any) -> Callable[[], Any]:
    """mace-torch's forward pass for training, and the same loss."""
    import torch
    from mace.data import AtomicData, KeySpecification, config_from_atoms
    from mace.tools import AtomicNumberTable, torch_geometric

    from atomistic.fitting import loss_of

    torch.set_default_dtype(torch.float32)
    table = AtomicNumberTable([int(z) for z in model.atomic_numbers])
    keys = KeySpecification()
    told = [config_from_atoms(frame, keys) for frame in frames]
    graphs = [AtomicData.from_config(one, z_table=table, cutoff=float(model.r_max)) for one in told]
    batch = next(iter(torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs)))).to_dict()

    def gradient() -> Any:
        told = model(dict(batch), training=True, compute_force=True, compute_stress=True)
        value = loss_of(told["energy"], told["forces"], told["stress"], data, settings)
        value.backward()
        return value

    return gradient


def measured(model: Any, gradient: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Seconds of one gradient (the best of some), and the gradient."""
    import torch

    weights = [p for p in model.parameters() if p.requires_grad]
    times = []
    for _ in range(repeats + 2):
        for p in weights:
            p.grad = None
        start = time.perf_counter()
        gradient()
        times.append(time.perf_counter() - start)
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in weights]
    return min(times[2:]), torch.cat([one.flatten() for one in found]).clone()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--potential", default="lpscl")
    parser.add_argument("--atoms", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()

    import torch

    from atomistic import fitting, mace_model, potential, quick_gradients
    from atomistic.fast_mace import batch, sample
    from atomistic.widening import with_vectors

    torch.set_num_threads(1)
    settings, frames = fitting.FitSettings(), frames_of(given.potential, given.atoms)
    print("| hidden features | way | µs an atom | atoms/s | error of the gradient |\n|---|---|---|---|---|")
    for vectors in (False, True):
        model = mace_model.load(potential.members_of(potential.folder_of(given.potential))[0])
        model = (with_vectors(model, 1) if vectors else model).float().train()
        numbers, r_max = [int(z) for z in model.atomic_numbers], float(model.r_max)
        data = batch([sample(frame, r_max) for frame in frames], numbers, r_max, torch.float32)
        double = batch([sample(frame, r_max) for frame in frames], numbers, r_max, torch.float64)
        reference = model.double()
        exact = measured(reference, lambda: fitting.backward(reference, double, settings), 1)[1].float()  # noqa: B023
        model = model.float()
        for name, gradient in (
            ("mace-torch", by_mace_torch(model, frames, data, settings)),
            ("second derivatives", lambda model=model, data=data: fitting.backward(model, data, settings)),
            ("first derivatives", lambda model=model, data=data: quick_gradients.backward(model, data, settings)),
        ):
            seconds, found = measured(model, gradient, given.repeats)
            off, atoms = float((found - exact).norm() / exact.norm()), len(data.species)
            hidden = f"{fitting.shape_of(model)['channels']} scalars{' and vectors' if vectors else ''}"
            print(f"| {hidden} | {name} | {1e6 * seconds / atoms:.0f} | {atoms / seconds:.0f} | {off:.1e} |", flush=True)


if __name__ == "__main__":
    main()
