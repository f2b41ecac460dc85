"""First-principles labels by CP2K: density-functional theory in Gaussians and plane waves, through ASE's `cp2k_shell`.

One CP2K process labels one frame and starts from atomic densities, so that a label depends on its frame and its settings
alone, not on the frames before. The settings hold for every frame of a set, metal or not: diagonalisation with Fermi–Dirac
occupations, since the orbital transformation (CP2K's quicker way) needs a band gap, and lithium and its interfaces have none.
The energy is then the electronic free energy, which is what the forces and the stress are derivatives of; in a frame with a
gap far above k T it equals the ground-state energy.

Sources: Kühne et al., J. Chem. Phys. 152, 194103 (2020) (CP2K); VandeVondele and Hutter, J. Chem. Phys. 127, 114105 (2007)
(MOLOPT bases); Krack, Theor. Chem. Acc. 114, 145 (2005) (PBE pseudopotentials); Perdew, Burke and Ernzerhof, Phys. Rev. Lett.
77, 3865 (1996) (PBE); Perdew et al., Phys. Rev. Lett. 100, 136406 (2008) (PBEsol); Grimme, Ehrlich and Goerigk, J. Comput.
Chem. 32, 1456 (2011) (D3(BJ)).
"""

import contextlib
import functools
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.cp2k import CP2K
from ase.units import Rydberg

from atomistic.label_settings import LabelSettings
from coupling.errors import RunFailure, UserError

PROGRAMS = ("cp2k.psmp", "cp2k.ssmp", "cp2k")
FUNCTIONALS = {"PBE": ("&PBE", "GTH-PBE"), "PBEsol": ("&PBE\nPARAMETRIZATION PBESOL", "GTH-PBE"), "LDA": ("&PADE", "GTH-PADE")}
D3_NAMES = {"PBE": "PBE", "PBEsol": "PBEsol"}
BASES = ("SZV-MOLOPT-SR-GTH", "DZVP-MOLOPT-SR-GTH", "TZVP-MOLOPT-SR-GTH", "TZV2P-MOLOPT-SR-GTH")
BASIS_FILES = ("BASIS_MOLOPT", "BASIS_MOLOPT_UCL")
LIMITS = {
    "cutoff": ("cutoff (Ry)", 100.0, 3000.0),
    "relative_cutoff": ("relative cutoff (Ry)", 20.0, 500.0),
    "k_spacing": ("k-point spacing (1/Å)", 0.0, 10.0),
    "smearing": ("smearing (K)", 0.0, 20000.0),
    "precision": ("precision", 1e-10, 1e-3),
}
"""Numbers of the settings: name, least and largest value."""
EPS_DEFAULT = 1e-10  # CP2K's own; 1e-12 costs 1.5 times as much and moves Li2S by 0.05 meV/atom
LAUNCHERS = ("OMPI_COMM_", "OMPI_UNIVERSE", "PMIX_", "PMI_", "PRTE_", "SLURM_PROCID")  # of an mpirun this process runs under


class LabelFailure(Exception):
    """A frame that got no label; the message is the reason."""


@dataclass(frozen=True)
class Cp2kSettings:
    """What CP2K is asked for; everything but `threads`, `time_limit` and `max_steps` changes the labels.

    Measured on a rattled 13-atom Li6PS5Cl at 300 Ry: precision 1e-5 with a relative cutoff of 40 Ry instead of 1e-6 with 50 Ry
    moves the energy by 0.004 meV/atom and no force by more than 0.1 meV/Å, and takes 0.7 of the time; 300 Ry instead of
    400 Ry moves the energy by 2 meV/atom, the forces by 10 meV/Å (root mean square) and the stress by 0.14 GPa.
    """

    functional: str = "PBE"  # PBE, PBEsol or LDA
    cutoff: float = 400.0  # Ry, plane waves of the density
    relative_cutoff: float = 40.0  # Ry, which Gaussians go to which grid
    basis: str = "DZVP-MOLOPT-SR-GTH"
    k_spacing: float = 0.0  # largest distance of k-points, 1/Å (with the factor 2π); 0: the zone centre alone
    spin: bool = False  # spin-polarised
    smearing: float = 500.0  # K, Fermi–Dirac; 0: fixed occupations by the orbital transformation (insulators)
    dispersion: str = "none"  # or "D3(BJ)"
    precision: float = 1e-5  # EPS_SCF: largest element of the change of the density matrix
    max_steps: int = 120  # SCF steps
    threads: int = 1  # OpenMP threads of one calculation
    time_limit: float = 3600.0  # s for one frame


def program() -> str:
    """Path of CP2K.

    Raises:
        UserError: there is none.
    """
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found is None:
        raise UserError("CP2K is not here: `make cp2k` fetches it (optional), or put your own cp2k.psmp on the PATH")
    return found


@functools.cache
def version(path: str) -> str:
    """Version that the program states, "unknown" where it states none."""
    with _own_environment(1):
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"CP2K version (\S+)", answer.stdout)
    return found.group(1) if found else "unknown"


def validate(settings: Cp2kSettings) -> None:
    """Refuse settings that CP2K cannot serve. Raises UserError that says what is allowed."""
    for name, value, known in (
        ("functional", settings.functional, tuple(FUNCTIONALS)),
        ("basis", settings.basis, BASES),
        ("dispersion", settings.dispersion, ("none", "D3(BJ)")),
    ):
        if value not in known:
            raise UserError(f"{name} = {value!r}: known with CP2K: {', '.join(known)}")
    for key, (name, low, high) in LIMITS.items():
        number = getattr(settings, key)
        if not low <= number <= high:
            raise UserError(f"{name} = {number:g}: read as a number that must lie in {low:g} … {high:g}")
    if settings.k_spacing and not settings.smearing:
        raise UserError("smearing = 0 K: the orbital transformation knows the zone centre only; set a smearing, or k-spacing 0")
    if settings.dispersion != "none" and settings.functional not in D3_NAMES:
        raise UserError(f"dispersion {settings.dispersion}: not parametrised for {settings.functional}")


def label_settings(settings: Cp2kSettings, code_version: str) -> LabelSettings:
    """The settings as every label carries them."""
    occupations = f"Fermi-Dirac {settings.smearing:g} K" if settings.smearing else "fixed (orbital transformation)"
    return LabelSettings(
        code="CP2K",
        version=code_version,
        functional=settings.functional,
        cutoff=f"{settings.cutoff:g} Ry, relative {settings.relative_cutoff:g} Ry",
        basis=settings.basis,
        pseudopotential=FUNCTIONALS[settings.functional][1],
        k_points=f"Monkhorst-Pack, spacing {settings.k_spacing:g} 1/Å" if settings.k_spacing else "zone centre",
        spin="polarised" if settings.spin else "unpolarised",
        dispersion=settings.dispersion,
        further=(("occupations", occupations), ("precision", f"EPS_SCF {settings.precision:g}, EPS_DEFAULT {EPS_DEFAULT:g}")),
    )


def k_mesh(atoms: Atoms, spacing: float) -> tuple[int, int, int]:
    """Monkhorst–Pack divisions with at most `spacing` (1/Å, with the factor 2π) between k-points; (1, 1, 1) for 0."""
    if not spacing:
        return (1, 1, 1)
    lengths = 2 * np.pi * np.linalg.norm(atoms.cell.reciprocal(), axis=1)
    first, second, third = (max(1, int(np.ceil(length / spacing - 1e-6))) for length in lengths)
    return (first, second, third)


def template(atoms: Atoms, settings: Cp2kSettings) -> str:
    """CP2K input of everything that ASE's calculator does not write itself."""
    functional, _ = FUNCTIONALS[settings.functional]
    mesh = k_mesh(atoms, settings.k_spacing)
    lines = ["&FORCE_EVAL", "&DFT", *(f"BASIS_SET_FILE_NAME {name}" for name in BASIS_FILES)]
    lines += ["POTENTIAL_FILE_NAME GTH_POTENTIALS"]
    if settings.spin:
        lines += ["UNRESTRICTED_KOHN_SHAM ON"]
    lines += ["&QS", f"EPS_DEFAULT {EPS_DEFAULT}", "EXTRAPOLATION USE_GUESS", "&END QS"]
    lines += ["&MGRID", f"REL_CUTOFF {settings.relative_cutoff}", "&END MGRID"]
    if mesh != (1, 1, 1):
        lines += ["&KPOINTS", "SCHEME MONKHORST-PACK {} {} {}".format(*mesh), "&END KPOINTS"]
    lines += ["&SCF", "SCF_GUESS ATOMIC", f"EPS_SCF {settings.precision}", *_solver(settings, len(atoms))]
    lines += ["&PRINT", "&RESTART OFF", "&END RESTART", "&END PRINT", "&END SCF"]
    lines += ["&XC", "&XC_FUNCTIONAL", *functional.split("\n"), f"&END {functional.split()[0][1:]}", "&END XC_FUNCTIONAL"]
    if settings.dispersion != "none":
        lines += [
            "&VDW_POTENTIAL",
            "POTENTIAL_TYPE PAIR_POTENTIAL",
            "&PAIR_POTENTIAL",
            "TYPE DFTD3(BJ)",
            "R_CUTOFF [angstrom] 16",
        ]
        lines += ["PARAMETER_FILE_NAME dftd3.dat", f"REFERENCE_FUNCTIONAL {D3_NAMES[settings.functional]}"]
        lines += ["&END PAIR_POTENTIAL", "&END VDW_POTENTIAL"]
    return "\n".join([*lines, "&END XC", "&END DFT", "&END FORCE_EVAL"])


def _solver(settings: Cp2kSettings, size: int) -> list[str]:
    """Lines of the SCF section: how the occupied orbitals are found."""
    if not settings.smearing:
        lines = ["MAX_SCF 30", "&OT", "MINIMIZER DIIS", "PRECONDITIONER FULL_SINGLE_INVERSE", "&END OT"]
        return [*lines, "&OUTER_SCF", f"EPS_SCF {settings.precision}", f"MAX_SCF {settings.max_steps // 30}", "&END OUTER_SCF"]
    lines = [f"MAX_SCF {settings.max_steps}", f"ADDED_MOS {8 + size // 2}"]
    lines += ["&DIAGONALIZATION", "ALGORITHM STANDARD", "&END DIAGONALIZATION"]
    lines += ["&SMEAR ON", "METHOD FERMI_DIRAC", f"ELECTRONIC_TEMPERATURE [K] {settings.smearing}", "&END SMEAR"]
    return [*lines, "&MIXING", "METHOD BROYDEN_MIXING", "ALPHA 0.3", "NBROYDEN 10", "&END MIXING"]


def label(atoms: Atoms, settings: Cp2kSettings) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy (eV), forces (n, 3) (eV/Å) and stress (6,) (eV/Å³, Voigt xx yy zz yz xz xy, positive in tension) of a frame.

    Raises:
        UserError: no CP2K here, settings it cannot serve, or an element without pseudopotential.
        LabelFailure: no convergence, the time limit passed, or CP2K stopped for another reason.
    """
    validate(settings)
    path = program()
    with tempfile.TemporaryDirectory(prefix="cp2k-") as folder:
        output = Path(folder) / "frame.out"
        frame, expired = atoms.copy(), threading.Event()
        try:
            with _calculator(frame, settings, path, Path(folder) / "frame", expired) as calculator:
                frame.calc = calculator
                values = frame.get_potential_energy(), frame.get_forces(), frame.get_stress()
        except (AssertionError, OSError, RuntimeError, ValueError) as error:  # how ASE tells that the shell ended
            if expired.is_set():
                raise LabelFailure(f"took longer than {settings.time_limit:g} s") from error
            raise LabelFailure(_reason(output)) from error
    return float(values[0]), np.asarray(values[1]), np.asarray(values[2])


class FirstPrinciples(Calculator):
    """ASE calculator that makes a label (`label`) of every geometry it is asked about, each from atomic densities."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 (ASE's own convention)

    def __init__(self, settings: Cp2kSettings) -> None:
        """Take the settings. Raises UserError: CP2K is not here, or cannot serve them."""
        super().__init__()
        validate(settings)
        program()
        self.settings = settings

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute energy (eV), forces (n, 3) (eV/Å) and stress (6,) (eV/Å³). Raises RunFailure where there is no label."""
        super().calculate(atoms, list(properties), list(system_changes))
        assert self.atoms is not None
        try:
            energy, forces, stress = label(self.atoms, self.settings)
        except LabelFailure as reason:
            raise RunFailure(f"CP2K, {self.atoms.get_chemical_formula()}: {reason}") from reason
        self.results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": stress}


@contextlib.contextmanager
def _calculator(atoms: Atoms, settings: Cp2kSettings, path: str, prefix: Path, expired: threading.Event) -> Iterator[CP2K]:
    """ASE's calculator for one frame, whose process ends with the block or when its time is over (then `expired` is set)."""
    command = f"exec {shlex.quote(path)} -s"
    with _own_environment(settings.threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calculator = CP2K(
            label=str(prefix),
            command=command,
            inp=template(atoms, settings),
            cutoff=settings.cutoff * Rydberg,
            basis_set=settings.basis,
            pseudo_potential=FUNCTIONALS[settings.functional][1],
            basis_set_file=None,
            potential_file=None,
            max_scf=None,
            xc=None,
            print_level="LOW",
        )
        child: subprocess.Popen = calculator._shell._child  # type: ignore[union-attr]
        watch = threading.Timer(settings.time_limit, _stop, (child, expired))
        watch.start()
        try:
            yield calculator
        finally:
            watch.cancel()
            with contextlib.suppress(AssertionError, OSError):
                calculator.close()
            child.kill()


def _stop(child: subprocess.Popen, expired: threading.Event) -> None:
    """End a calculation whose time is over."""
    expired.set()
    child.kill()


@contextlib.contextmanager
def _own_environment(threads: int) -> Iterator[None]:
    """For what is started inside: number of OpenMP threads, and no trace of an mpirun, whose rank CP2K would take itself for."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(LAUNCHERS):
            del os.environ[name]
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _reason(output: Path) -> str:
    """Why CP2K stopped, from the end of its output."""
    text = output.read_text(errors="replace") if output.is_file() else ""
    if "SCF run NOT converged" in text:
        return "the self-consistent field did not converge"
    told = [line.strip(" *_|/\\\r") for line in text.splitlines() if line.startswith(" *")]
    words = " ".join(word for word in told if word and "ABORT" not in word and "[" not in word)
    return f"CP2K stopped: {words[:300]}" if words else "CP2K ended without a word"
