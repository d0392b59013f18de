"""The published language: what comes in, what goes out, and the words both use.

Imports nothing of ours, so that a platform or a subscriber can install and import it alone.
"""
