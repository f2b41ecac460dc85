"""Propagation cases: a lithium filament that cracks the electrolyte until it stalls or shorts."""
