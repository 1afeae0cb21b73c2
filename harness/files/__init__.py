"""Files on the disk: written whole or not at all, read only where they are plain and bounded. Torch is not imported."""
