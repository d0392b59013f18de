# One image for every process of the Procfile; docker-compose.yml sets the command of each.
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
# The lock only constrains versions. Without the extra `local` the image has no Redis server.
RUN python -m venv /opt/order-sync \
    && /opt/order-sync/bin/pip install --no-cache-dir --disable-pip-version-check -c requirements.lock .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /home/order-sync --create-home order-sync
COPY --from=build /opt/order-sync /opt/order-sync
ENV PATH=/opt/order-sync/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER order-sync
WORKDIR /home/order-sync
# A new volume gets its owner from this folder.
RUN mkdir -m 700 var var/flower var/journal
CMD ["order-sync", "--help"]
