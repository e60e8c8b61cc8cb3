"""The parts of the Errors tab."""
