"""What leaves a store and comes back: folders of deltas, model cards, push and pull."""
