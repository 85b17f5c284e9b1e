"""Pure numerics of a round: updates in, one aggregate out, the same bytes on every machine.

Imports numpy, numba and the standard library only; numba only once a kernel is wanted (`aggregation.kernels`).
"""
