"""Simulate the APIs of Borzo, Cervo, DeliverIt and the Ordering platform on one local server.

The server follows the API documents and adds scripted orders, faults on demand and a ledger of what happened.
This package imports nothing else of the project, so that it does not repeat a mistake of a codec that it tests.
"""

from worker.sandbox.app import Sandbox, create_app, serve, server
from worker.sandbox.config import DOCUMENTED_BORZO_LIMITS, SandboxConfig

__all__ = ["DOCUMENTED_BORZO_LIMITS", "Sandbox", "SandboxConfig", "create_app", "serve", "server"]
