"""The table of all troubles, in the order in which a run causes them."""

from tests.troubles.order_cases import ORDER_CASES
from tests.troubles.system_cases import SUBSCRIBER_CASE, SYSTEM_CASES

CASES = (SUBSCRIBER_CASE, *ORDER_CASES, *SYSTEM_CASES)
