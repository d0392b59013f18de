"""The four APIs as one local server, written from their documents, with scripted lives, faults and a ledger.

It imports nothing else of the project, so that a mistake in a codec is not mirrored here.
"""

from worker.sandbox.app import Sandbox, create_app, serve, server
from worker.sandbox.config import DOCUMENTED_BORZO_LIMITS, SandboxConfig

__all__ = ["DOCUMENTED_BORZO_LIMITS", "Sandbox", "SandboxConfig", "create_app", "serve", "server"]
