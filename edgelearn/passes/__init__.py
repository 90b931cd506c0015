"""What rewrites or extends Graphs. Reads `edgelearn.ir` only."""
