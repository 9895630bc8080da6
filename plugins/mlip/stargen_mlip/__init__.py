"""Universal machine-learnt potentials; the calculators are announced in `stargen_mlip.info`."""
