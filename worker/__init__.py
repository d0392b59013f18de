"""Order Sync: the domain, the carriers, the database, the bus and the processes that connect them."""
