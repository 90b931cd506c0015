"""tpSGD beside what it is to be compared with: accuracy, memory and speed of one recipe."""
