"""The simulated DeliverIt APIs: driver orders and customer details."""
