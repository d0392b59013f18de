"""A carrier that exists in tests alone, made as docs/adding-a-carrier.md says.

Its oddity: it has no look-up, so a create whose answer was lost is left to a person.
"""

from tests.carriers.toy.account import ToyAccount
from tests.carriers.toy.codec import Toy

__all__ = ["Toy", "ToyAccount"]
