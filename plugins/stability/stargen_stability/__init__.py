"""Formation energies and convex hulls; the calculator is announced in `stargen_stability.info`."""
