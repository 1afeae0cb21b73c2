"""What a training decides on its way: its rates, when it is evaluated, and when it is hopeless."""
