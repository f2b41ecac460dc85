"""Nano-mechanical inhomogeneity: smooth random fields of modulus and toughness with a correlation length (pure NumPy)."""

import math
from dataclasses import dataclass

import numpy as np

WAVES = 400
"""Waves of a field: enough that its values are normal."""


@dataclass(frozen=True)
class RandomField:
    """A log-normal random factor f = exp(s g - s²/2) of mean one, the same function on any mesh and any number of ranks.

    g(x) = (2/M)^½ Σₘ cos(kₘ·x + φₘ), kₘ normal with variance 2/ξ² in each direction, φₘ even over the circle: in the limit of
    many waves a Gaussian field of mean zero, variance one and correlation exp(-r²/ξ²).

    ======  ==================  ====
    symbol  variable            unit
    ======  ==================  ====
    s       deviation           1, standard deviation of ln f
    ξ       correlation_length  m
    M       WAVES               1
    ======  ==================  ====

    Source: random Fourier series, Shinozuka & Deodatis, Appl. Mech. Rev. 44, 191 (1991).

    Attributes:
        deviation: s; about the relative scatter of the property.
        correlation_length: ξ, m.
        seed: the same seed gives the same field.
    """

    deviation: float
    correlation_length: float
    seed: tuple[int, ...]

    def _waves(self) -> tuple[np.ndarray, np.ndarray]:
        """Wave vectors (M, 2), 1/m, and phases (M,)."""
        rng = np.random.default_rng(list(self.seed))
        k = rng.standard_normal((WAVES, 2)) * math.sqrt(2) / self.correlation_length
        return k, rng.uniform(0, 2 * np.pi, WAVES)

    def factor(self, points: np.ndarray) -> np.ndarray:
        """The factor f at points (n, 2 or 3), m; shape (n,)."""
        k, phase = self._waves()
        g = math.sqrt(2 / WAVES) * np.cos(points[:, :2] @ k.T + phase).sum(axis=1)
        return np.exp(self.deviation * g - self.deviation**2 / 2)

    def slope(self, points: np.ndarray) -> np.ndarray:
        """∇ ln f at points (n, 2 or 3), m; shape (n, 2), 1/m."""
        k, phase = self._waves()
        return -self.deviation * math.sqrt(2 / WAVES) * np.sin(points[:, :2] @ k.T + phase) @ k
