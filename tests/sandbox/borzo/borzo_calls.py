"""Calls to the simulated Borzo API and parts of its replies."""

from typing import Any

from tests.sandbox.client import SandboxClient, borzo_order

ROOT = "/api/business/1.6"


def place(client: SandboxClient, note: str | None = None, **changes: Any) -> dict[str, Any]:
    reply = client.post(f"{ROOT}/create-order", borzo_order(note, **changes))
    assert reply.status_code == 200, reply.text
    order: dict[str, Any] = reply.json()["order"]
    return order


def read(client: SandboxClient, order: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{ROOT}/orders?order_id[]={order['order_id']}").json()["orders"][0]
    return found


def status(order: dict[str, Any]) -> str:
    return f"{order['status']}/{order['points'][1]['delivery']['status']}"


def errors(code: str, parameters: Any = None) -> tuple[int, dict[str, Any]]:
    return 400, {"is_successful": False, "errors": [code], "parameter_errors": parameters}


def at_the_drop(**parameter_errors: Any) -> dict[str, Any]:
    return {"points": [None, parameter_errors]}
