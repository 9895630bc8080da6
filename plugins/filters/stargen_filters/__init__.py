"""Screening of hypothetical crystals: six calculators, announced in `stargen_filters.info`."""
