"""Backbones: files, digests, architecture, weights and tokenizers."""
