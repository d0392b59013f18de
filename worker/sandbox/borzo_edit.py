"""Borzo's editing of points and packages: what is named by id is kept and changed, what is not named is deleted."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from worker.sandbox.borzo_order import complete_point, normal_point

Faults = list[dict[str, Any] | None]


def edited_points(
    points: list[dict[str, Any]], sent: list[dict[str, Any]], created: datetime, zone: ZoneInfo, *, left: bool
) -> tuple[Faults | None, list[dict[str, Any]]]:
    """Return the faults, if any, and the points after the edit (borzo.txt, "Order editing"; B-95).

    `left` is whether the courier has been at the first of them: then its address is not editable any more.
    """
    known = {point["point_id"]: point for point in points}
    visited = points[:1] if left else []
    faults = [_fault(known, each) or _late(visited, each) for each in sent]
    if any(faults):
        return faults, []
    edited = [
        _edited(known[each["point_id"]], each) if "point_id" in each else complete_point(each, index, created, zone)
        for index, each in enumerate(sent)
    ]
    return None, edited


def _edited(point: dict[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """Change one point; a named point keeps only the packages that are named with it (B-96, example 4)."""
    owned = {package["order_package_id"]: package for package in point["packages"]}
    packages = [{**owned.get(each.get("order_package_id"), {}), **each} for each in sent.get("packages", [])]
    contact = {**point["contact_person"], **sent.get("contact_person", {})}
    return normal_point({**point, **sent, "contact_person": contact, "packages": packages})


def _fault(known: Mapping[int, dict[str, Any]], sent: Mapping[str, Any]) -> dict[str, Any] | None:
    if "point_id" not in sent:
        return None
    if sent["point_id"] not in known:
        return {"point_id": ["invalid_point"]}
    owned = {package["order_package_id"] for package in known[sent["point_id"]]["packages"]}
    faults = [_package_fault(owned, package) for package in sent.get("packages", [])]
    return {"packages": faults} if any(faults) else None


def _late(visited: list[dict[str, Any]], sent: Mapping[str, Any]) -> dict[str, Any] | None:
    moved = any(
        sent.get("point_id") == point["point_id"] and sent.get("address", point["address"]) != point["address"]
        for point in visited
    )
    return {"address": ["not_editable"]} if moved else None


def _package_fault(owned: set[int], sent: Mapping[str, Any]) -> dict[str, Any] | None:
    strange = "order_package_id" in sent and sent["order_package_id"] not in owned
    return {"order_package_id": ["invalid_order_package"]} if strange else None
