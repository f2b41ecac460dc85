"""Molecular dynamics of many replicas at once on one device by torch-sim, with the result files of `atomistic.dynamics`.

All replicas go through the network together: on a GPU a step of sixty cells costs little more than a step of one. Each replica
has a folder of its own with the segments that `atomistic.trajectory` reads; a killed batch goes on from the last segment that
every replica has. The noise of a segment is drawn from a seed made of the batch's seed and the segment's number, so that what it
computes depends on the state it starts from alone. On a CPU a repeated batch gives the same frames to round-off; a GPU adds in an
order of its own, so that there the same run agrees in its statistics only.

Integrators: BAOAB Langevin (Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34) and velocity Verlet of torch-sim (Cohen
et al., AI Sci. 1, 025003 (2025)).
"""

import dataclasses
import importlib.util
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from atomistic import dynamics, mace_model, potential
from atomistic.devices import torch_device
from atomistic.dynamics import DynamicsSettings
from atomistic.trajectory import Frames, State, Trajectory, begin, load, read_header, read_segments, state_after, write_segment
from coupling.errors import UserError
from coupling.store import digest

Progress = Callable[[float], None]
NEEDED = 'batches of replicas need torch-sim: pip install "torch-sim-atomistic>=0.5"'
ZERO_CHAINS = (2, 2, 1)
WARMING = 6
"""Evaluations after which TorchScript no longer changes the network's code, and with it the rounding."""


def run(
    replicas: Sequence[Atoms], name: str | Path, settings: DynamicsSettings, folders: Sequence[Path],
    device: str = "auto", dtype: str = "float32", member: int = 0, progress: Progress | None = None,
) -> list[Trajectory]:  # fmt: skip
    """Run all replicas, or go on with the batch that the folders hold, or return it when it is finished.

    Args:
        replicas: periodic atoms; each keeps its momenta if it has any, else they are drawn from the seed.
        name: potential of our own format (a shipped name or a folder). member: which model of a committee.
        settings: "nve", or "nvt" by the Langevin thermostat at one temperature.
        folders: one for each replica.
        device: "cpu", "cuda", or "auto" (the GPU where there is one). dtype: "float32" or "float64".
        progress: called with the finished share (0 … 1) after each segment.

    Raises:
        UserError: torch-sim or the device is missing, settings that batches cannot run, a folder of another run.
        Unphysical: a replica stays unstable after all halvings of the time step; finished segments are kept.
    """
    _refuse(replicas, settings, folders, dtype)
    engine = _Engine(replicas, name, member, torch_device(device), dtype)
    keys = [_key(replicas, number, settings, engine.label) for number in range(len(replicas))]
    for atoms, folder, key in zip(replicas, folders, keys, strict=True):
        _claim(folder, atoms, settings, key)
    kept = [read_segments(folder) for folder in folders]
    done = min(len(segments) for segments in kept)
    states = [state_after(segments[done - 1]) for segments in kept] if done else _start(replicas, settings)
    total = math.ceil(settings.frames / settings.frames_per_segment)
    for index in range(done, total):
        states = _advance(engine, states, settings, index, folders)
        if progress:
            progress((index + 1) / total)
    return [load(folder) for folder in folders]


def _refuse(replicas: Sequence[Atoms], settings: DynamicsSettings, folders: Sequence[Path], dtype: str) -> None:
    """Raise UserError for what a batch cannot run."""
    if importlib.util.find_spec("torch_sim") is None:
        raise UserError(NEEDED)
    if not replicas or len(replicas) != len(folders) or len(set(folders)) != len(folders):
        raise UserError(f"batch: {len(replicas)} replicas, {len(set(folders))} different folders; a folder for each is needed")
    if settings.ensemble == "npt" or (settings.ensemble == "nvt" and settings.thermostat != "langevin"):
        wanted = f"ensemble {settings.ensemble!r} with thermostat {settings.thermostat!r}"
        raise UserError(f"batch: {wanted}; allowed: 'nve', or 'nvt' with 'langevin'")
    if settings.final_temperature is not None:
        raise UserError("batch: final_temperature is not for batches; run one temperature, or staged dynamics without a batch")
    if dtype not in ("float32", "float64"):
        raise potential.unknown("dtype", dtype, ["float32", "float64"])
    for atoms in replicas:
        dynamics.require_free(atoms)


def _key(replicas: Sequence[Atoms], number: int, settings: DynamicsSettings, engine: str) -> str:
    """Identity of one replica: the whole batch shares its noise, so that it depends on all of them."""
    start = [
        [part.tolist() for part in (atoms.numbers, atoms.get_masses(), atoms.positions, atoms.get_momenta(), atoms.cell.array)]
        for atoms in replicas
    ]
    return digest([dataclasses.asdict(settings), start, number, engine])


def _claim(folder: Path, atoms: Atoms, settings: DynamicsSettings, key: str) -> None:
    """Write the header of a new replica, or check that the one there is of this batch."""
    header = read_header(folder)
    if header is None:
        told = {"numbers": atoms.numbers.tolist(), "masses": atoms.get_masses().tolist(), "pbc": atoms.pbc.tolist()}
        begin(folder, {"key": key, "settings": dataclasses.asdict(settings), **told})
    elif header["key"] != key:
        raise UserError(f"{folder}: holds another run (atoms, settings, potential or batch); give another folder or delete it")


def _start(replicas: Sequence[Atoms], settings: DynamicsSettings) -> list[State]:
    """States before the first step; momenta where an atoms object has none."""
    states = []
    for number, atoms in enumerate(replicas):
        momenta = atoms.get_momenta()
        if not momenta.any():
            rng = np.random.default_rng([settings.seed, number])
            momenta = dynamics.thermal_momenta(atoms.get_masses(), settings.temperature, rng)
        states.append(_state(atoms.positions, momenta, atoms.cell.array, 0))
    return states


def _state(positions: np.ndarray, momenta: np.ndarray, cell: np.ndarray, segment: int) -> State:
    """State after so many segments; the noise needs no more than their number."""
    return State(
        np.array(positions, float), np.array(momenta, float), np.array(cell, float), np.zeros((3, 3)), np.zeros(ZERO_CHAINS),
        json.dumps({"batch segment": segment}),
    )  # fmt: skip


def _advance(
    engine: "_Engine", states: list[State], settings: DynamicsSettings, index: int, folders: Sequence[Path]
) -> list[State]:
    """One segment of every replica, with a smaller time step for all when a guard trips in one; its files are written."""
    reason = ""
    for halvings in range(settings.guards.halvings + 1):
        try:
            frames, after = engine.segment(states, settings, index, halvings)
        except dynamics.Unstable as trip:
            reason = str(trip)
            continue
        for folder, own, state in zip(folders, frames, after, strict=True):
            write_segment(folder, index, own, state, halvings)
        return after
    kept = index * settings.checkpoint_interval / 1000.0
    raise dynamics.Unphysical(
        f"batch at {settings.temperature:g} K stays unstable after {kept:g} ps even with a time step of "
        f"{settings.timestep / 2**settings.guards.halvings:g} fs: {reason}; the first {kept:g} ps of every replica are kept"
    )


def _nearest(positions: np.ndarray, last: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Images of the positions (n, 3) that lie nearest to where the atoms were a frame ago; torch-sim wraps into the cell."""
    step = positions - last
    return np.asarray(positions - np.round(step @ np.linalg.inv(cell)) @ cell)


class _Engine:
    """The network on its device, and the replicas' atoms."""

    def __init__(self, replicas: Sequence[Atoms], name: str | Path, member: int, device: Any, dtype: str) -> None:
        import torch

        mace_model.mace_modules()
        with mace_model.undisturbed():
            import torch_sim as ts
            from torch_sim.models.mace import MaceModel

            card = potential.describe(name)
            members = potential.members_of(potential.folder_of(name))
            if not 0 <= member < len(members):
                raise UserError(f"potential {card.name!r} has no member {member}; it has {len(members)}, numbered from 0")
            self.device, self.dtype = device, {"float32": torch.float32, "float64": torch.float64}[dtype]
            model = mace_model.load(members[member]).to(device=device, dtype=self.dtype)
            self.model = MaceModel(model=model, device=device, dtype=self.dtype, compute_stress=False)
        foreign = sorted({symbol for atoms in replicas for symbol in atoms.get_chemical_symbols()} - set(card.elements))
        if foreign:
            raise UserError(f"potential {card.name!r} knows {', '.join(card.elements)}; a replica has {', '.join(foreign)}")
        self.replicas = [atoms.copy() for atoms in replicas]
        self.ends = np.cumsum([len(atoms) for atoms in replicas])[:-1]
        for _ in range(WARMING):
            self.model(ts.io.atoms_to_state(self.replicas, device, self.dtype))
        self.label = f"torch-sim {card.sha256} member {member} {dtype} {device.type}"

    def segment(
        self, states: Sequence[State], settings: DynamicsSettings, index: int, halvings: int
    ) -> tuple[list[Frames], list[State]]:
        """Frames and end state of each replica. Raises Unstable when a guard trips in one of them."""
        import torch

        seed = int(digest([settings.seed, index, halvings])[:12], 16)
        torch.manual_seed(seed)
        state, step = self._begin(states, seed), self._stepper(settings, settings.timestep / 2**halvings)
        first = index * settings.frames_per_segment
        last = [old.positions for old in states]
        stored: list[list[tuple[np.ndarray, np.ndarray, float, float]]] = [[] for _ in self.replicas]
        for _ in range(first, min(first + settings.frames_per_segment, settings.frames)):
            for _ in range(round(settings.frame_interval / settings.timestep) * 2**halvings):
                state = step(state)
            self._check_forces(state, settings)
            for number, (wrapped, momenta, energy) in enumerate(self._apart(state)):
                atoms, positions = self.replicas[number], _nearest(wrapped, last[number], states[number].cell)
                last[number] = positions
                temperature = float(np.sum(momenta**2 / atoms.get_masses()[:, None]) / (3 * len(atoms) * units.kB))
                dynamics.check_frame(atoms, positions, states[number].cell, temperature, settings)
                stored[number].append((positions.astype(np.float32), states[number].cell, energy, temperature))
        frames = [Frames(*(np.array(column) for column in zip(*own, strict=True))) for own in stored]
        moved = zip(last, self._apart(state), states, strict=True)
        after = [_state(positions, momenta, old.cell, index + 1) for positions, (_, momenta, _), old in moved]
        return frames, after

    def _begin(self, states: Sequence[State], seed: int) -> Any:
        """torch-sim's state of all replicas, forces included; since its version 0.6 a state has a generator of its own."""
        import torch
        import torch_sim as ts

        for atoms, state in zip(self.replicas, states, strict=True):
            atoms.positions, atoms.cell = state.positions, state.cell
        system = ts.io.atoms_to_state(self.replicas, self.device, self.dtype)
        system.rng = seed
        system.momenta = torch.tensor(np.concatenate([s.momenta for s in states]), device=self.device, dtype=self.dtype)
        return ts.integrators.nve_init(system, self.model, kT=torch.tensor(0.0, device=self.device, dtype=self.dtype))

    def _stepper(self, settings: DynamicsSettings, timestep: float) -> Callable[[Any], Any]:
        """One time step (fs) of the settings' ensemble."""
        import torch
        import torch_sim as ts

        def number(value: float) -> Any:
            return torch.tensor(value, device=self.device, dtype=self.dtype)

        dt = number(timestep * units.fs)
        if settings.ensemble == "nve":
            return lambda state: ts.integrators.nve_step(state, self.model, dt=dt)
        heat, friction = number(units.kB * settings.temperature), number(1.0 / (settings.friction_time * units.fs))
        return lambda state: ts.integrators.nvt_langevin_step(state, self.model, dt=dt, kT=heat, gamma=friction)

    def _check_forces(self, state: Any, settings: DynamicsSettings) -> None:
        """Raise Unstable when a force is not finite or too large."""
        for number, forces in enumerate(np.split(state.forces.detach().cpu().numpy(), self.ends)):
            dynamics.check_forces(forces, settings.guards, f"replica {number}: ")

    def _apart(self, state: Any) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """Positions (Å, within the cell), momenta and energy (eV) of each replica."""
        positions, momenta = (
            np.split(values.detach().cpu().numpy().astype(float), self.ends) for values in (state.positions, state.momenta)
        )
        return list(zip(positions, momenta, state.energy.detach().cpu().numpy().astype(float).tolist(), strict=True))
