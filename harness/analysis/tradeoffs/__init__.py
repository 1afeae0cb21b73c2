"""What a score costs: one number of score and costs together, and the methods that no other beats on all of them."""
