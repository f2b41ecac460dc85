"""Property records, their store, unit conversion, upscaling and error propagation: the border between MD and continuum."""
