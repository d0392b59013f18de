"""The worker: its rooms are described in docs/architecture.md."""
