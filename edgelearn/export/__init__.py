"""Model files of other programs: written from the Graph, verified, and read back into it."""
