"""Structures in and out: three calculators, announced in `stargen_structures.info`."""
