"""What to run and to test: grids, exhibits, claims, parents and the choice of learning rates."""
