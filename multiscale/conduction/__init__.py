"""Conduction cases: steady conduction through any geometry, and effective conductivities of images."""
