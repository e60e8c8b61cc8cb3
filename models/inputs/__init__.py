"""What a person says of a network's input, and what files and transforms of others say of it."""
