"""How the embedded backbones are pretrained and shipped."""
