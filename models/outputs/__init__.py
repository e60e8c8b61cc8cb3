"""What a network returns: scores, their kind, the task that they answer, and their probabilities."""
