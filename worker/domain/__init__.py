"""The decisions about deliveries: pure functions and frozen values.

Nothing here reads a clock, a database or a network.
"""
