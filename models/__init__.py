"""What is explained: networks, their checkpoints, the data they are judged on, and their training."""

__version__ = "0.1.0"
