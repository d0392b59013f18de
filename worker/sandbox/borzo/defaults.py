"""Borzo's defaults: the parameters of an order, a point and a package, the fees, the courier and the texts."""

from collections.abc import Mapping
from typing import Any

COORDINATES = (("-23.5962988", "-46.5858049"), ("-23.562747", "-46.6576753"))
"""The coordinates of the first point, and those of all other points, as if geocoded from their addresses."""
CLIENT_ID = 180198
PRICE = "18.00"
CANCEL_REASON = "O cliente não está respondendo"
RECIPIENT_ABSENT = "O destinatário está ausente"

COURIER: Mapping[str, Any] = {
    "courier_id": 72384,
    "surname": "Surname",
    "name": "Name",
    "middlename": None,
    "phone": "5511900000001",
    "photo_url": None,
}
FEES = dict.fromkeys(
    [
        "weight_fee_amount",
        "insurance_fee_amount",
        "loading_fee_amount",
        "money_transfer_fee_amount",
        "promo_code_discount_amount",
        "backpayment_amount",
        "cod_fee_amount",
        "return_fee_amount",
        "waiting_fee_amount",
    ],
    "0.00",
)
DOCUMENTS = dict.fromkeys(["backpayment_photo_url", "itinerary_document_url", "waybill_document_url"])
ORDER_DEFAULTS: Mapping[str, Any] = {
    "type": "standard",
    "matter": None,
    "vehicle_type_id": 8,
    "total_weight_kg": 0,
    "insurance_amount": "0.00",
    "is_client_notification_enabled": False,
    "is_contact_person_notification_enabled": False,
    "loaders_count": 0,
    "is_motobox_required": False,
    "payment_method": "cash",
    "bank_card_id": None,
    "is_return_required": False,
    "backpayment_details": None,
    "promo_code": None,
}
POINT_DEFAULTS: Mapping[str, Any] = {
    "point_id": None,
    "delivery_id": None,
    "client_order_id": None,
    "address": None,
    "latitude": None,
    "longitude": None,
    "required_start_datetime": None,
    "required_finish_datetime": None,
    "arrival_start_datetime": None,
    "arrival_finish_datetime": None,
    "estimated_arrival_datetime": None,
    "courier_visit_datetime": None,
    "contact_person": {"name": None, "phone": None},
    "taking_amount": "0.00",
    "buyout_amount": "0.00",
    "note": None,
    "packages": [],
    "is_cod_cash_voucher_required": False,
    "is_order_payment_here": False,
    "building_number": None,
    "entrance_number": None,
    "intercom_code": None,
    "floor_number": None,
    "apartment_number": None,
    "invisible_mile_navigation_instructions": None,
    "place_photo_url": None,
    "sign_photo_url": None,
    "checkin_code": None,
    "checkin": None,
    "is_return_point": False,
    "tracking_url": None,
    "delivery": None,
}
PACKAGE_DEFAULTS: Mapping[str, Any] = {
    "ware_code": None,
    "description": None,
    "items_count": 0,
    "item_payment_amount": "0.00",
    "nomenclature_code": None,
}
POINT_FIELDS_OF_DELIVERY = [
    "client_order_id",
    "address",
    "latitude",
    "longitude",
    "point_id",
    "contact_person",
    "note",
    "building_number",
    "apartment_number",
    "entrance_number",
    "intercom_code",
    "floor_number",
    "invisible_mile_navigation_instructions",
    "required_start_datetime",
    "required_finish_datetime",
    "taking_amount",
    "buyout_amount",
    "is_cod_cash_voucher_required",
    "packages",
    "tracking_url",
]
"""The fields of a point that the callbacks about its delivery contain too."""
