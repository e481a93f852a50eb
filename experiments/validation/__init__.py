"""The engines against each other and against closed forms."""
