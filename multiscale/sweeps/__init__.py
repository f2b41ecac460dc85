"""Sweeps: designs drawn from sweep.toml, a content-addressed store of cases, engines, tables, sensitivity, ranking, search."""
