"""Continuum–atomistic simulation of solid-state lithium-metal batteries: from crystal structures to a critical current."""
