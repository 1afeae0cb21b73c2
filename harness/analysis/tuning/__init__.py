"""What tuning finds: the best learning rate of a method, what it costs, and whether variants differ once tuned."""
