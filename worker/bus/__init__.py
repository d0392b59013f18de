"""Streams of messages in and events out: the only package that reads or writes a stream."""
