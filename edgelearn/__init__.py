"""Train on the device without backpropagation, export, simulate and check.

>>> import edgelearn
>>> edgelearn.__version__.count(".")
2
"""

__version__ = "0.1.0"
