"""One linear system on one device."""
