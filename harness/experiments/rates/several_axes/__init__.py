"""The search for a learning rate together with other fields of an arm, such as a rank or a batch size."""
