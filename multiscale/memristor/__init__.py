"""Memristor cases: a lithium filament that bridges a layer of electrolyte and dissolves again under a bipolar voltage sweep."""
