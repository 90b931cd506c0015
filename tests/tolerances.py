"""How far two computations of the same thing may differ, and why."""

ENGINE_F32 = 1e-5
"""Engine, interpreter and runtimes sum float32 products in different orders: about 1e-7 a sum,
carried through 20 training steps."""

GRADIENT = 2e-3
"""A central difference of a float32 loss, relative to the largest component."""

C_F32 = 1e-6
"""The generated C sums in another order than NumPy, and has exp, log and tanh of its own."""
