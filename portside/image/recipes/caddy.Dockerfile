# Stands in for caddy:VERSION. Built by portside/image/bases.py, which puts the binary into the context.
FROM debian:trixie-slim AS lists
# Package lists live as long as the day they were fetched on; every recipe shares this step.
ARG DAY
RUN apt-get update

FROM debian:trixie-slim AS files
RUN --mount=type=bind,from=lists,source=/var/lib/apt/lists,target=/var/lib/apt/lists \
    --mount=type=tmpfs,target=/var/cache/apt \
    --mount=type=bind,source=caddy.sh,target=/recipe.sh \
    sh /recipe.sh /rootfs

FROM scratch
COPY --from=files /rootfs/ /
COPY --chmod=0755 caddy /usr/bin/caddy
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    XDG_CONFIG_HOME=/config \
    XDG_DATA_HOME=/data
EXPOSE 80 443 443/udp 2019
WORKDIR /srv
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
