"""What the DFT plugins share."""
