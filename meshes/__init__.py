"""Geometry and meshes: layered polycrystals with a flaw, and the shapes of exact problems."""
