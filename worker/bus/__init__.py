"""The streams of incoming messages and outgoing events. Only this package reads or writes a stream."""
