"""How it is explained: pure functions on tensors and frozen dataclasses; knows no widget and no web."""
