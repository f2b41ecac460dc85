"""Tip cases: a nanometre tip on a polycrystal, the voltage ramped until lithium breaks into the electrolyte."""
