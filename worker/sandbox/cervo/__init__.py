"""The simulated Cervo Delivery API V2."""
