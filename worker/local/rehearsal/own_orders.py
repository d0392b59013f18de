"""A deployment's own orders with invented customers, for a rehearsal.

An order keeps its id, store, times, amount, currency, quantities, prices and carriers, because decisions depend on
them. Of an address, only the country, the city and the first characters of the postal code stay.
"""

import random
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import phonenumbers

from schemas.order import Customer, Dropoff, Order
from schemas.stores import Store
from worker.container import Container
from worker.database import search, shops
from worker.domain.delivery import Delivery
from worker.local.demo.orders import message
from worker.local.rehearsal.carriers import Conditions, script_for
from worker.local.rehearsal.day import PlacedOrder

PAGE = 500
NAME, STREET, PRODUCT = "Invented Customer", "Invented Street 1", "Product"
KEPT_CHARACTERS = 3
"""How many characters of a postal code stay; every later digit becomes 0, and every later letter A."""
NEARBY = 0.02
"""The greatest distance of an invented drop-off from its store, in degrees of latitude and of longitude."""
PAYMENT_METHODS = frozenset({"card", "cash", "credit"})


def stores_of(services: Container) -> dict[str, Store]:
    """Return the stores of a deployment: those of the file, and those of the database."""
    return {**services.file_shops, **services.database.read(shops.load_shops)}


def own_orders(services: Container, since: datetime, until: datetime, conditions: Conditions) -> Iterator[PlacedOrder]:
    """Yield the orders that were placed in a time span, the oldest first, each with an invented customer."""
    dice = random.Random(conditions.seed)  # noqa: S311 - repeatable on purpose
    kinds = {name: account.kind for name, account in services.settings.accounts.items()}
    stores, skip = stores_of(services), 0
    while page := services.database.read(search.placed, since, until, PAGE, skip=skip):
        skip += len(page)
        for each in page:
            store = stores.get(each.order.store_id)
            script = script_for(_first_kind(each.order, store, kinds), conditions, dice)
            yield _placed(each, store, f"sandbox:{script}", dice)


def _first_kind(order: Order, store: Store | None, kinds: Mapping[str, str]) -> str:
    carriers = order.carriers or (store.carriers if store else ())
    return next((kinds[name] for name in carriers if name in kinds), "")


def _placed(delivery: Delivery, store: Store | None, notes: str, dice: random.Random) -> PlacedOrder:
    at, order = delivery.created_at, with_invented_customer(delivery.order, store, notes, dice)
    data = order.model_dump(mode="json", exclude_none=True)
    return PlacedOrder(at, message("order.placed", delivery.id, data, time=at.isoformat(), source=delivery.source))


def with_invented_customer(order: Order, store: Store | None, notes: str, dice: random.Random) -> Order:
    """Return an order that tells nothing about its customer; `notes` are for the simulated carrier."""
    method = order.payment.method.lower()
    items = tuple(each.model_copy(update={"name": PRODUCT}) for each in order.items)
    return order.model_copy(
        update={
            "order_number": "",
            "revision": 1,
            "status": None,
            "customer": Customer(name=NAME, phone=_phone(order.customer.phone, store)),
            "dropoff": _dropoff(order.dropoff, store, dice),
            "payment": order.payment.model_copy(
                update={"method": method if method in PAYMENT_METHODS else "card", "change_for": None}
            ),
            "items": items,
            "notes": notes,
        }
    )


def _phone(phone: str, store: Store | None) -> str:
    """Return the sample number of the customer's country, or of the store's country if the number is unreadable."""
    country = store.country if store else None
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(phone, country)) or country
    except phonenumbers.NumberParseException:
        region = country
    sample = phonenumbers.example_number_for_type(region or "DK", phonenumbers.PhoneNumberType.MOBILE)
    return phonenumbers.format_number(sample, phonenumbers.PhoneNumberFormat.E164) if sample else "+4520123456"


def _dropoff(to: Dropoff, store: Store | None, dice: random.Random) -> Dropoff:
    point: dict[str, Any] = {}
    if store and to.point:
        point = {
            "latitude": round(store.latitude + dice.uniform(-NEARBY, NEARBY), 5),
            "longitude": round(store.longitude + dice.uniform(-NEARBY, NEARBY), 5),
        }
    return Dropoff(street=STREET, postal_code=_postal_code(to.postal_code), city=to.city, country=to.country, **point)


def _postal_code(code: str) -> str:
    """Return a postal code of which only the area is left."""
    hidden = "".join("0" if each.isdigit() else "A" if each.isalpha() else each for each in code[KEPT_CHARACTERS:])
    return code[:KEPT_CHARACTERS] + hidden
