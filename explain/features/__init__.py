"""What layers, channels and units respond to."""
