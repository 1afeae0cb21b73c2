"""What several cells read alike: their rows as tokens, and the weights of their backbone."""
