"""A complete language model in Python that can be read to the bottom."""
