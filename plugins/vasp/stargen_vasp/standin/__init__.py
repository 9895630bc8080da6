"""A program that takes the place of VASP in tests. Its numbers are no DFT, and say so."""
