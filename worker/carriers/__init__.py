"""The registry of carriers: one line for each kind."""

from worker.carriers.borzo import Borzo
from worker.carriers.cervo import Cervo
from worker.carriers.deliverit import DeliverIt
from worker.carriers.port import Carrier

KINDS: dict[str, type[Carrier]] = {codec.kind: codec for codec in (Cervo, Borzo, DeliverIt)}
