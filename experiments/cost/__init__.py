"""What a training step costs on a device and on a digital computer."""
