# Stands in for gcr.io/distroless/python3-debian13:nonroot. Built by portside/image/bases.py.
FROM debian:trixie-slim AS lists
# Package lists live as long as the day they were fetched on; every recipe shares this step.
ARG DAY
RUN apt-get update

FROM debian:trixie-slim AS files
RUN --mount=type=bind,from=lists,source=/var/lib/apt/lists,target=/var/lib/apt/lists \
    --mount=type=tmpfs,target=/var/cache/apt \
    --mount=type=bind,source=distroless.sh,target=/recipe.sh \
    sh /recipe.sh /rootfs

FROM scratch
COPY --from=files /rootfs/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    LANG=C.UTF-8
USER 65532
WORKDIR /home/nonroot
ENTRYPOINT ["/usr/bin/python3.13"]
