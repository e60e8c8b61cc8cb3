"""Labels that are wrong: where they probably are, and what reviewers say."""
