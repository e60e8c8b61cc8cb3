"""The layers of a network: hooks, outputs, receptive fields."""
