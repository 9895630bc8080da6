"""VASP under supervision; the calculators are announced in `stargen_vasp.info`."""
