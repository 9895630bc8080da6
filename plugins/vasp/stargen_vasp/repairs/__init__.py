"""Faults of VASP and what is done about them, one small class each; `table` lists them."""
