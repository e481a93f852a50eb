"""What computes the solution: ngspice, the ideal law, digital references; and ``Spu``, the whole device."""
