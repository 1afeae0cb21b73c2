"""One attempt's arithmetic: batches, steps, optimizers, checkpoints, scores and what is kept."""
