"""The embedded default: a small generated English world, its corpus, its backbones and its tasks. No network."""
