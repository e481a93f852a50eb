"""The cheapest board that meets a specification: from a catalogue to a bill of materials."""
