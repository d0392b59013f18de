# One image for every process of the Procfile; docker-compose.yml and deploy/kubernetes/ set the command of each.
# A tag may move. For builds that can be repeated, set BASE to the digest that this command prints:
#   docker buildx imagetools inspect python:3.13-slim --format '{{json .Manifest.Digest}}'
#   docker build --build-arg BASE=python@sha256:... --build-arg REVISION=$(git rev-parse HEAD) -t order-sync .
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/build && python -m venv --without-pip /opt/order-sync
# The packages first: these layers change only with the locks. Every package has its hash, and none is compiled.
COPY deploy/build.lock deploy/requirements.lock deploy/
RUN /opt/build/bin/pip install --require-hashes --only-binary=:all: -r deploy/build.lock
RUN /opt/build/bin/pip --python /opt/order-sync/bin/python install \
    --require-hashes --only-binary=:all: -r deploy/requirements.lock
COPY . .
RUN /opt/build/bin/hatchling build --target wheel --directory dist \
    && /opt/build/bin/pip --python /opt/order-sync/bin/python install --no-index --no-deps dist/*.whl \
    && /opt/build/bin/pip --python /opt/order-sync/bin/python check

FROM ${BASE}
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 order-sync \
    && useradd --system --uid 10001 --gid 10001 --home-dir /home/order-sync --create-home order-sync \
    && install --directory --owner=10001 --group=10001 --mode=700 \
    /home/order-sync/var /home/order-sync/var/flower /home/order-sync/var/journal
COPY --from=build /opt/order-sync /opt/order-sync
# On SIGTERM a worker finishes its running calls and starts no waiting task.
ENV PATH=/opt/order-sync/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    REMAP_SIGTERM=SIGQUIT ORDER_SYNC_HEARTBEAT_PATH=/tmp/worker.alive
USER 10001:10001
WORKDIR /home/order-sync
STOPSIGNAL SIGTERM
# It passes signals on, and collects the processes that a command leaves behind.
ENTRYPOINT ["/usr/bin/tini", "--"]
# Without a command the image runs a worker. Every other process has a health check of its own where it is started.
CMD ["celery", "--quiet", "--app", "worker.app", "worker", "--without-gossip", "--without-mingle"]
HEALTHCHECK --interval=15s --start-period=30s CMD find /tmp/worker.alive -mmin -1 | grep -q .
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Order Sync" \
    org.opencontainers.image.description="A background worker between a shop platform and its couriers" \
    org.opencontainers.image.source="https://github.com/order-sync/order-sync" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.revision="${REVISION}"
