# The service's image. Read by `invoke build` (portside/image/build.py) and by plain `docker buildx build`.
# BUILDER needs python3.13 and pip on PATH; RUNTIME needs /usr/bin/python3.13, and no shell.
ARG BUILDER=python:3.13-slim-trixie
ARG RUNTIME=gcr.io/distroless/python3-debian13:nonroot

FROM ${BUILDER} AS dependencies
ARG UV_VERSION=0.13.9
# Both names lead to the bundle of the builder, or to a company's own, mounted over it as the secret `ca`.
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=cache,id=portside-pip,target=/root/.cache/pip \
    pip install --quiet "uv==${UV_VERSION}"
# `strip` takes a third off the dependencies; a builder that can't get it builds without.
RUN command -v strip > /dev/null \
    || { apt-get update && apt-get install --yes --no-install-recommends binutils; } > /dev/null \
    || echo "no strip in this builder: the image will be about 30 MB larger" >&2
# Byte code is checked never, by content and not by time: the same lock file gives the same layer anywhere.
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_PROGRESS=1 \
    UV_PROJECT_ENVIRONMENT=/opt/venv \
    UV_PYTHON=python3.13 \
    UV_PYTHON_DOWNLOADS=0 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    PYTHONHASHSEED=0
WORKDIR /build
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=cache,id=portside-uv,target=/root/.cache/uv \
    --mount=type=bind,source=pyproject.toml,target=pyproject.toml \
    --mount=type=bind,source=uv.lock,target=uv.lock <<'RUN'
    set -eu
    uv sync --quiet --locked --no-default-groups --no-install-project
    cd /opt/venv
    # The interpreter is the runtime's.
    ln -sf /usr/bin/python3.13 bin/python
    sed -i 's|^home = .*|home = /usr/bin|' pyvenv.cfg
    # What nothing imports at run time: sources of extensions, tests, type stubs, shell helpers.
    find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.c' -o -name '*.h' \
        -o -name '*.cpp' -o -name '*.hpp' -o -name 'activate*' \) -delete
    find lib -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
    if command -v strip > /dev/null; then
        find lib -type f -name '*.so*' -exec strip --strip-unneeded {} +
    fi
    # /srv is part of this layer, or WORKDIR would add one with the time of the build in it.
    mkdir -p /layer/opt /layer/srv
    mv /opt/venv /layer/opt/venv
    find /layer -exec touch --no-dereference --date=@0 {} +
RUN

FROM dependencies AS application
COPY app /layer-app/srv/app
RUN <<'RUN'
    set -eu
    python3.13 -m compileall -q -s /layer-app -p / --invalidation-mode unchecked-hash /layer-app/srv
    chmod -R u=rwX,go=rX /layer-app
    find /layer-app -exec touch --no-dereference --date=@0 {} +
RUN

FROM ${RUNTIME}
ENV PATH=/opt/venv/bin:/usr/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8000
# Until the first success every 300 ms, so that a release doesn't wait for a health check; then every 10 s.
HEALTHCHECK --interval=10s --timeout=4s --start-period=60s --start-interval=0.3s --retries=3 \
    CMD ["/opt/venv/bin/python", "-m", "app.healthcheck"]
ENTRYPOINT ["/opt/venv/bin/python"]
CMD ["-m", "app.web", "-c", "app/gunicorn.conf.py", "app.asgi:app"]
COPY --from=dependencies /layer/ /
WORKDIR /srv
# Application code comes last: changing it changes this layer and no other.
COPY --from=application /layer-app/ /
