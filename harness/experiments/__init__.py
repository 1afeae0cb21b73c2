"""What is asked: grids, exhibits, claims, parents and the tuning of learning rates."""
