"""Physical constants (CODATA 2018, SI) and the molar volume of lithium used everywhere."""

FARADAY = 96485.33212
"""Faraday constant, C/mol."""
GAS_CONSTANT = 8.314462618
"""Molar gas constant, J/(mol K)."""
BOLTZMANN = 1.380649e-23
"""Boltzmann constant, J/K."""
AVOGADRO = 6.02214076e23
"""Avogadro constant, 1/mol."""
ELEMENTARY_CHARGE = 1.602176634e-19
"""Elementary charge, C."""
PLANCK = 6.62607015e-34
"""Planck constant, J s."""
LITHIUM_MOLAR_VOLUME = 1.300e-5
"""Molar volume of lithium, m³/mol (M/ρ = 6.94 g/mol / 534 kg/m³; CRC Handbook)."""
LITHIUM_MELTING_POINT = 453.65
"""At which lithium melts, K (180.5 °C; CRC Handbook)."""
ROOM_TEMPERATURE = 298.15
"""Reference temperature, K."""
