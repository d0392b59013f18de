"""How the toy carrier's statuses become ours."""

from schemas.status import DeliveryStatus as S

STATUS_TABLE = {
    "waiting": S.CREATED,
    "accepted": S.COURIER_ASSIGNED,
    "loaded": S.PICKED_UP,
    "delivered": S.DELIVERED,
    "called_off": S.CANCELLED,
}
