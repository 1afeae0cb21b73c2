"""What a step updates, where a recipe has it update less than all trained numbers by their whole gradients."""
