"""The registry of carriers, by kind."""

from worker.carriers.borzo import Borzo
from worker.carriers.cervo import Cervo
from worker.carriers.deliverit import DeliverIt
from worker.carriers.port import Carrier

KINDS: dict[str, type[Carrier]] = {
    Cervo.kind: Cervo,
    Borzo.kind: Borzo,
    DeliverIt.kind: DeliverIt,
}
