"""What a training need not compute again, because nothing below it trains."""
