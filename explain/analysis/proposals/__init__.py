"""What to try next: checks, the evidence that they read, and the training that follows."""
