"""What training takes from the backbone, against what it learns."""
