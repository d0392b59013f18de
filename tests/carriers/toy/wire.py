"""The toy carrier's JSON, read leniently."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any


def parse_document(body: bytes) -> dict[str, Any] | None:
    """Return a JSON object; None for any other bytes."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def parse_amount(value: object) -> Decimal | None:
    """Return a finite amount; None for anything else."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
