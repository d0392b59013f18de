"""The proof that a callback is Borzo's: HMAC-SHA256 over the body as it came, before anything reads it (B-81)."""

import hashlib
import hmac
import re
from collections.abc import Sequence

from worker.errors import Forged

HEADER = "x-dv-signature"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


def verify(body: bytes, signature: str | None, secrets: Sequence[str]) -> None:
    """Raise Forged unless one of the secrets made this signature (Borzo, "Notification about order changes", B-82).

    Two secrets are good at once, so that one can be replaced by the other.
    """
    given = (signature or "").strip().lower()
    if not secrets:
        raise Forged("no callback secret is set")
    if _SHA1.fullmatch(given):
        raise Forged("the signature has the length of SHA-1; only SHA-256 is accepted")  # B-91: no downgrade
    if not _SHA256.fullmatch(given):
        raise Forged("the signature is missing or no SHA-256 in hexadecimal")
    digest = bytes.fromhex(given)
    matches = [hmac.compare_digest(digest, hmac.digest(secret.encode(), body, hashlib.sha256)) for secret in secrets]
    if not any(matches):
        raise Forged("the signature does not fit the body")
