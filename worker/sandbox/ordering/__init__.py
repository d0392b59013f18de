"""The simulated orders API of the Ordering platform."""
