"""Print what a carrier has near the create of an order whose id we do not know, and how well each candidate fits."""

from collections.abc import Iterator
from shlex import quote
from typing import Any

from worker.cli.base import console, when
from worker.domain.candidates import Candidate, CarrierSearch
from worker.domain.delivery import Delivery


def print_search(delivery: Delivery, search: CarrierSearch) -> None:
    """Print what to search for, the candidates with the commands that choose them, and the risks."""
    order_id = quote(delivery.order.order_id)
    for name, value in search.names.items():
        console.print(f"search {search.account} for", f"{name}:", value)
    for each in search.candidates:
        console.print("candidate", *_words(each), style="" if each.blocker is None else "dim")
        if each.blocker is None and each.order.ref is not None:
            console.print(f"  `order-sync resolve {order_id} exists {quote(each.order.ref)}`")
    if search.problem is not None:
        console.print(search.problem, style="red")
    elif not search.candidates:
        console.print(f"{search.account} lists no order near this one.")
    for risk in search.risks:
        console.print(f"Before `order-sync resolve {order_id} absent`:", risk, style="red")


def _words(candidate: Candidate) -> Iterator[str]:
    for key, value in _order(candidate).items():
        if value:
            yield f"{key}={value}"
    yield f"({', '.join(candidate.why)}{'; ' + candidate.blocker if candidate.blocker else ''})"


def search_document(search: CarrierSearch) -> dict[str, Any]:
    """Return a search as a JSON object."""
    candidates = [{**_order(each), "why": each.why, "blocker": each.blocker} for each in search.candidates]
    return {
        "account": search.account,
        "names": dict(search.names),
        "candidates": candidates,
        "problem": search.problem,
        "risks": search.risks,
    }


def _order(candidate: Candidate) -> dict[str, Any]:
    order = candidate.order
    return {
        "fit": candidate.fit.value,
        "ref": order.ref,
        "status": order.status,
        "created_at": when(order.created_at),
        "pickup_at": when(order.pickup_at),
        "price": f"{order.price.amount} {order.price.currency}" if order.price else None,
        "phone": order.phone.value,
        "address": order.address.value,
        "pickup_address": order.pickup_address.value,
    }
