"""DFT with GPAW, in a process of its own; the calculators are announced in `stargen_gpaw.info`."""
