"""What the calibration page shows: known outcomes replayed, censuses of nothing with real training, planted effects."""
