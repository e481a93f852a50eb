"""One operational amplifier on the test bench."""
