"""Money: exact amounts, and the number of decimals of each currency (ISO 4217)."""

from decimal import ROUND_HALF_UP, Decimal

USUAL_DECIMALS = 2
DECIMALS = {
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0,
    "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
    "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
    "CLF": 4, "UYW": 4,
}  # fmt: skip
"""The number of decimals of each ISO 4217 currency, except the currencies with two decimals."""
CENT = Decimal("0.01")


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Return the nearest amount that can be paid in a currency; half a unit is rounded up."""
    return amount.quantize(Decimal(1).scaleb(-DECIMALS.get(currency, USUAL_DECIMALS)), ROUND_HALF_UP)


def is_payable(amount: Decimal, currency: str) -> bool:
    """Return whether an amount has no more decimals than its currency."""
    return amount == rounded(amount, currency)


def written(amount: Decimal, currency: str) -> str:
    """Return the exact amount as text, with the decimals of its currency. An amount with more decimals keeps them."""
    return format(rounded(amount, currency) if is_payable(amount, currency) else amount, "f")


def canonical(amount: Decimal) -> Decimal:
    """Return the amount with the fewest decimals possible, but at least two. So equal amounts give equal texts."""
    return amount.quantize(CENT) if amount == amount.quantize(CENT) else amount.normalize()
