"""The steps of a fit on a GPU: all frames lie in its memory, and a step is one replayed graph of its kernels.

A step of a small network is some two thousand kernels of a few microseconds each. Launched one by one by Python they take ten
times as long as they run, so the whole step (batch put together, loss, gradients, optimizer, average) is captured once and
replayed (Ng et al., "Accelerating PyTorch with CUDA Graphs", 2021). A graph has fixed shapes: frames of about as many neighbours
an atom share a shelf, a batch comes from one shelf and is filled up with places that count for nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from atomistic.fast_mace import Batch, Sample, stress_matrix
from atomistic.fitting import FitSettings, Weights, descend, in_turn

Tensor = torch.Tensor
SHELVES = 6
"""By number of neighbours; more fill the batches better and take longer to capture."""
WARMING = 4
"""Steps before a capture, in which kernels are chosen and TorchScript settles."""


@dataclass
class Shelf:
    """Frames of a training set whose atoms have at most m neighbours, end to end, and one empty atom and frame at the end."""

    members: list[int]  # numbers of the frames in the training set
    sizes: list[int]  # their atoms
    firsts: np.ndarray  # first atom of each frame
    species: Tensor  # (N + 1,)
    neighbors: Tensor  # (N + 1, m) counted from the first atom of the frame
    vectors: Tensor  # (N + 1, m, 3)
    forces: Tensor  # (N + 1, 3)
    totals: Tensor  # (F + 1, 12): volume, energy, size, 9 of the stress
    slots: int  # frames of a batch, the one of the filled places included
    plan: Tensor  # (3 n + g,) of the batch in hand
    graph: Any = None

    @property
    def places(self) -> int:
        """Atoms of a batch, filled places included."""
        return (len(self.plan) - self.slots) // 3

    def batch(self) -> Batch:
        """The batch that `plan` says: gathered on the device."""
        rows, base, frame = self.plan[: 3 * self.places].view(3, -1)
        chosen = self.plan[3 * self.places :]
        totals = self.totals[chosen]
        real = (rows < len(self.species) - 1).to(totals.dtype)
        return Batch(
            species=self.species[rows],
            frame=frame,
            sizes=totals[:, 2],
            neighbors=self.neighbors[rows] + base[:, None],
            vectors=self.vectors[rows],
            volumes=totals[:, 0],
            energies=totals[:, 1],
            forces=self.forces[rows],
            stresses=totals[:, 3:].reshape(-1, 3, 3),
            real_atoms=real,
            real_frames=(chosen < len(self.totals) - 1).to(totals.dtype),
        )

    def write_plan(self, group: list[int]) -> np.ndarray:
        """Plan (3 n + g,) of a batch of frames, numbered as in `members`."""
        empty_atom, empty_frame = len(self.species) - 1, len(self.totals) - 1
        rows, base = np.full(self.places, empty_atom), np.arange(self.places)
        frame, chosen = np.full(self.places, self.slots - 1), np.full(self.slots, empty_frame)
        end = 0
        for slot, number in enumerate(group):
            here = slice(end, end + self.sizes[number])
            rows[here] = self.firsts[number] + np.arange(self.sizes[number])
            base[here], frame[here], chosen[slot] = end, slot, number
            end = here.stop
        return np.concatenate([rows, base, frame, chosen])


def shelf(samples: list[Sample], members: list[int], numbers: list[int], r_max: float, atoms: int, device: Any) -> Shelf:
    """Shelf of some of the samples, for batches of so many atoms (or of the largest frame)."""
    chosen = [samples[number] for number in members]
    sizes = [len(one.frame) for one in chosen]
    firsts = np.cumsum([0, *sizes])
    width = max(one.neighbors.shape[1] for one in chosen)
    total = int(firsts[-1])
    species, forces = np.zeros(total + 1, dtype=np.int64), np.zeros((total + 1, 3))
    neighbors, vectors = np.zeros((total + 1, width), dtype=np.int64), np.zeros((total + 1, width, 3))
    vectors[..., 2] = 2 * r_max
    neighbors[:total] = (np.arange(total) - np.repeat(firsts[:-1], sizes))[:, None]
    totals = np.zeros((len(chosen) + 1, 12))
    totals[-1, [0, 2]] = 1.0
    for number, one in enumerate(chosen):
        rows, columns = slice(firsts[number], firsts[number + 1]), slice(0, one.neighbors.shape[1])
        neighbors[rows, columns], vectors[rows, columns] = one.neighbors, one.vectors
        species[rows] = [numbers.index(z) for z in one.frame.numbers]
        forces[rows] = one.frame.arrays["REF_forces"]
        totals[number, :3] = one.frame.get_volume(), one.frame.info["REF_energy"], sizes[number]
        totals[number, 3:] = stress_matrix(one.frame).ravel()
    places = max(atoms, max(sizes))
    slots = places // min(sizes) + 1
    return Shelf(
        members=members,
        sizes=sizes,
        firsts=firsts,
        species=torch.as_tensor(species).to(device),
        neighbors=torch.as_tensor(neighbors).to(device),
        vectors=torch.as_tensor(vectors, dtype=torch.float32).to(device),
        forces=torch.as_tensor(forces, dtype=torch.float32).to(device),
        totals=torch.as_tensor(totals, dtype=torch.float32).to(device),
        slots=slots,
        plan=torch.zeros(3 * places + slots, dtype=torch.int64, device=device),
    )


class CapturedSteps:
    """Batches of frames and the steps on them, on the device of the weights; the same as `fitting.Steps` but for the batches."""

    def __init__(self, model: Any, samples: list[Sample], weights: Weights, settings: FitSettings) -> None:
        self.model, self.weights, self.settings = model, weights, settings
        self.device = weights.parameters[0].device
        self.rate, self.keep, self.lost = (torch.zeros((), device=self.device) for _ in range(3))
        self.taken = 0
        numbers, r_max = [int(z) for z in model.atomic_numbers], float(model.r_max)
        by_width = sorted(range(len(samples)), key=lambda number: samples[number].neighbors.shape[1])
        parts = [[int(i) for i in part] for part in np.array_split(by_width, min(SHELVES, len(samples)))]
        self.shelves = [shelf(samples, part, numbers, r_max, settings.atoms_per_batch, self.device) for part in parts]
        if self.device.type == "cuda":
            self._capture()

    def groups(self, seed: int) -> list[tuple[Shelf, Tensor]]:
        """Plans of the batches of an epoch, in random order."""
        rng = np.random.default_rng(seed)
        plans: list[tuple[Shelf, Tensor]] = []
        for one in self.shelves:
            order = rng.permutation(len(one.members))
            groups = in_turn([one.sizes[i] for i in order], one.places)
            written = np.array([one.write_plan([int(order[i]) for i in group]) for group in groups])
            plans += [(one, plan) for plan in torch.as_tensor(written).to(self.device)]
        return [plans[i] for i in rng.permutation(len(plans))]

    def take(self, group: tuple[Shelf, Tensor], learning_rate: float, keep: float) -> None:
        """One step."""
        one, plan = group
        one.plan.copy_(plan)
        self.rate.fill_(learning_rate)
        self.keep.fill_(keep)
        self.taken += 1
        if one.graph is None:
            self._step(one)
        else:
            one.graph.replay()

    def mean_loss(self) -> float:
        """Mean loss of the steps since it was last asked for."""
        mean = float(self.lost) / max(1, self.taken)
        self.lost.zero_()
        self.taken = 0
        return mean

    def _step(self, one: Shelf) -> None:
        for entry in self.weights.optimizer.param_groups:
            entry["lr"] = self.rate
        self.lost += descend(self.model, one.batch(), self.weights, self.settings, self.keep)

    def _capture(self) -> None:
        """Capture the step of every shelf; the weights, the average and the moments are then put back as they were."""
        moved = [*self.weights.parameters, *self.weights.averaged]
        kept = [value.detach().clone() for value in moved]
        state = self.weights.optimizer.state
        moments = {p: {name: value.clone() for name, value in state[p].items()} for p in self.weights.parameters if p in state}
        side = torch.cuda.Stream()
        for one in self.shelves:
            one.plan.copy_(torch.as_tensor(one.write_plan(in_turn(one.sizes, one.places)[0])))
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARMING):
                    self._step(one)
            torch.cuda.current_stream().wait_stream(side)
            self.weights.optimizer.zero_grad(set_to_none=True)
            one.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(one.graph):
                self._step(one)
        with torch.no_grad():
            for value, was in zip(moved, kept, strict=True):
                value.copy_(was)
            for p in self.weights.parameters:
                for name, value in state[p].items():
                    value.copy_(moments[p][name]) if p in moments else value.zero_()
        self.lost.zero_()
