"""Computed against measured critical currents: each measurement with the cell that matches it, its interval, the statistics.

What is told apart: `cells` (which cells are computed), `matching` (which cell and conditions a measurement means), `survey`
(model runs, that know no measurement), `predictions`, `agreement` (statistics), `audit` (nothing was fitted), `table`, `plot`.
"""
