"""Ions and electrons: the terms of transport and charge transfer, one a function, and the systems made of them."""
