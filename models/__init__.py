"""What is explained: networks, their checkpoints, the data they are judged on, and their training."""
