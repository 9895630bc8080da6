"""Calculators that do what no calculator should, for Star-gen's own tests."""
