"""Solids: elasticity of the cell and its flaw, lithium as a metal, cracks as a phase field, filaments that drive them."""
