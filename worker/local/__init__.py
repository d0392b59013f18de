"""Everything on one machine: the supervisor behind `up` and the demo. A deployment never imports it."""
