# One image for every process of Forewarn: `docker build -t forewarn .`, `docker run forewarn --help`.

FROM python:3.11.13-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock ./
# Everything of the lock, by hash: the tools that build are in it too.
RUN python -m venv /build \
    && /build/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY detectors detectors
COPY configs configs
COPY sinks sinks
COPY simulator simulator
COPY pipeline pipeline
# What runs gets only what it needs, at the lock's versions and hashes.
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && python -m venv --without-pip /opt/forewarn \
    && /build/bin/uv pip install --no-cache --python /opt/forewarn/bin/python \
       --constraint requirements.lock /dist/*.whl

FROM python:3.11.13-slim-bookworm
RUN useradd --system --uid 10001 --create-home forewarn
COPY --from=build /opt/forewarn /opt/forewarn
ENV PATH=/opt/forewarn/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /home/forewarn
# SIGTERM ends a worker and deliver gracefully.
STOPSIGNAL SIGTERM
ENTRYPOINT ["forewarn"]
CMD ["--help"]
