"""The parts of the Inspect tab."""
