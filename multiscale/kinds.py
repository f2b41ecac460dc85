"""Every kind of case behind one door: which kind a folder holds, read it, run it."""

from pathlib import Path
from typing import Any

from multiscale.case import Case, load_case
from multiscale.conduction.case import ConductionCase, is_conduction_case, load_conduction_case
from multiscale.memristor.case import MemristorCase, is_memristor_case, load_memristor_case
from multiscale.propagation.case import PropagationCase, is_propagation_case, load_propagation_case
from multiscale.tip_trigger.case import TipCase, is_tip_case, load_tip_case
from multiscale.transport_cases.case import TransportCase, is_transport_case, load_transport_case

AnyCase = Case | ConductionCase | MemristorCase | PropagationCase | TipCase | TransportCase


def load_any(folder: str | Path) -> AnyCase:
    """Read and check a case folder of any kind.

    Raises:
        UserError: the folder is none or holds no case.toml; any wrong key, unit or value; an unknown material.
    """
    if is_conduction_case(folder):
        return load_conduction_case(folder)
    if is_propagation_case(folder):
        return load_propagation_case(folder)
    if is_transport_case(folder):
        return load_transport_case(folder)
    if is_tip_case(folder):
        return load_tip_case(folder)
    if is_memristor_case(folder):
        return load_memristor_case(folder)
    return load_case(folder)


def validate_any(case: AnyCase, with_md: bool = True) -> None:
    """Refuse what can be refused before the long part: numbers that are not known, geometry, potential. Raises UserError."""
    if isinstance(case, ConductionCase):
        from multiscale.conduction.case import parameters

        parameters(case)
    elif isinstance(case, PropagationCase):
        from multiscale.propagation.inputs import resolve as resolve_propagation

        resolve_propagation(case)
    elif isinstance(case, TransportCase):
        from multiscale.transport_cases.inputs import resolve as resolve_transport

        resolve_transport(case)
    elif isinstance(case, TipCase):
        from multiscale.tip_trigger.case import resolve as resolve_tip
        from multiscale.tip_trigger.run import surface_of

        surface_of(case, resolve_tip(case))
    elif isinstance(case, MemristorCase):
        from multiscale.memristor.case import resolve as resolve_memristor

        resolve_memristor(case)
    else:
        from multiscale.pipeline import validate_all

        validate_all(case, with_md)


def run_any(case: AnyCase, results: Path, comm: Any, with_md: bool = True) -> dict[str, Any]:
    """Every stage that the case still needs; gives the summary on every rank. `with_md` matters to a critical current only.

    Raises:
        UserError: the case cannot be run as it is, or the results folder is in use.
        RunFailure: a stage could not be finished; the same call goes on from what is kept.
    """
    if isinstance(case, ConductionCase):
        from multiscale.conduction.run import run_conduction

        return run_conduction(case, results, comm)
    if isinstance(case, PropagationCase):
        from multiscale.propagation.run import run_propagation

        return run_propagation(case, results, comm)
    if isinstance(case, TransportCase):
        from multiscale.transport_cases.run import run_transport

        return run_transport(case, results, comm)
    if isinstance(case, TipCase):
        from multiscale.tip_trigger.run import run_tip

        return run_tip(case, results, comm)
    if isinstance(case, MemristorCase):
        from multiscale.memristor.run import run_memristor

        return run_memristor(case, results, comm)
    from multiscale.pipeline import run_case

    return run_case(case, results, comm, with_md)
