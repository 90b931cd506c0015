"""Which weights stay: masks by magnitude, schedules of sparsity, random structures. Arrays only."""
