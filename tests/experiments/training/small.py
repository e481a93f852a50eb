"""What small trainings on digits have in common."""

SMALL = """
[data]
train = 60
validation = 20
test = 20
[network]
kind = "mlp"
hidden = [4]
"""
"""Tables of a config: 100 images, and a perceptron with four hidden units."""
