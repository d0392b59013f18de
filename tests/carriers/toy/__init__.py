"""A carrier that exists in tests alone, made as docs/adding-a-carrier.md describes.

What is special: it has no look-up, so a create with an unknown outcome waits for an operator. It collects no money.
"""

from tests.carriers.toy.account import ToyAccount
from tests.carriers.toy.codec import Toy

__all__ = ["Toy", "ToyAccount"]
