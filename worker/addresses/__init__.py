"""The addresses of Redis and RabbitMQ. Pure."""
