# Stands in for prom/node-exporter:v1. Built by portside/image/bases.py from Debian unstable.
FROM debian:trixie-slim AS lists
# Package lists live as long as the day they were fetched on; every recipe shares this step.
ARG DAY
RUN apt-get update

FROM lists AS sid
RUN --mount=type=bind,source=sid.sh,target=/sid.sh sh /sid.sh

FROM sid AS files
RUN --mount=type=bind,source=monitoring.sh,target=/recipe.sh \
    sh /recipe.sh /rootfs "prometheus-node-exporter" prometheus-node-exporter=node_exporter

FROM scratch
COPY --from=files /rootfs/ /
USER nobody
EXPOSE 9100
ENTRYPOINT ["/bin/node_exporter"]
