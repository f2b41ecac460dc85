"""A transport system whose answer is a steady state: without what changes in time, which takes a third of its memory in 3-D."""

import ufl

from coupling.errors import UserError
from multiscale.transport.system import TransportSystem


def steady(system: TransportSystem) -> TransportSystem:
    """The same system without its terms ∂/∂t and without older states; a time loop can no longer drive it.

    Call it before the first solve.

    Raises:
        UserError: the system has mechanics or moving faces, whose equations are those of a time step.
    """
    if system.body is not None:
        raise UserError("a steady system cannot have mechanics: its equations are those of a time step")
    system.residual = ufl.replace(system.residual, {rate: ufl.as_ufl(0.0) for rate in system.rates})
    system.rates, system.older = (), ()  # type: ignore[assignment]
    return system
