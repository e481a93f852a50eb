"""Claims about thermodynamic natural gradient descent: what is run, by which rule it is judged, and the verdict."""
