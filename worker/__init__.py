"""How we do it: the engine, the carriers, the store, the bus and the edge."""
