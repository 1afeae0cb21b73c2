"""Grading by a judge model: the client, its stored replies and the answers that are graded."""
