"""Crystals by diffusion: ab initio generation, structure prediction, compositions to try."""
