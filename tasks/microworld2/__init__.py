"""The embedded world, version 2: thirteen graded tasks, a corpus of three stages and its backbones, beside version 1."""

VERSION = 2
