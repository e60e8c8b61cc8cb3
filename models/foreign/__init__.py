"""Networks and checkpoints that other programs wrote."""
