"""Transport cases: ion transport through layers in time, impedance and leakage of a cell."""
