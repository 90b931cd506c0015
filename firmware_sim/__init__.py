"""Memory, latency and energy of a Graph on a device, before it is flashed."""
