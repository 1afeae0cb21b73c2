"""What methods know of backbones: families, roles, linear layers, sizes and quantisation."""
