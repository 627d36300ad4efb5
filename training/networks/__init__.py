"""Define the networks: the generator that ships, how one is grown, and what judges."""
