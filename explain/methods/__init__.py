"""The registry of explanation methods, and the methods themselves, one file a family."""
