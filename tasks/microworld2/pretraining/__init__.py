"""How the backbones of world 2 are pretrained and shipped."""
