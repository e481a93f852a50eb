"""Pretrained encoders of text, what is trained of them, and questions whose answers are spans of a text."""
