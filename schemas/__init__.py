"""The published language: the messages in, the events out, and the vocabulary that both use.

This package imports no other package of the project, so a platform or a subscriber can use it alone.
"""
