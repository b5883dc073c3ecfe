"""Training data: collecting, filtering, saving and converting trajectories."""
