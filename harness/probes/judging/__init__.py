"""Grading by a judge model: the client, the replies that are kept and the answers that are graded."""
