"""The device as a SPICE circuit: a file per topology, amplifier models, noise sources, decks."""
