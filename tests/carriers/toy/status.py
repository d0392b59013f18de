"""The toy carrier's words in ours."""

from schemas.status import DeliveryStatus

S = DeliveryStatus

STATUS_OF_WORD = {
    "waiting": S.CREATED,
    "accepted": S.COURIER_ASSIGNED,
    "loaded": S.PICKED_UP,
    "delivered": S.DELIVERED,
    "called_off": S.CANCELLED,
}
