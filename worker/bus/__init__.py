"""Streams of messages in and events out: the only room that reads or writes a stream."""
