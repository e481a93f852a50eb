"""Tolerance sweeps: many drawn copies of a device, what they do, and how many meet the specification."""
