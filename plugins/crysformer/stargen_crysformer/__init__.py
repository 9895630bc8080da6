"""Crysformer: properties of crystals by equivariant graph attention, with uncertainty."""
