# Stands in for prom/prometheus:v3. Built by portside/image/bases.py from Debian unstable.
FROM debian:trixie-slim AS lists
# Package lists live as long as the day they were fetched on; every recipe shares this step.
ARG DAY
RUN apt-get update

FROM lists AS sid
RUN --mount=type=bind,source=sid.sh,target=/sid.sh sh /sid.sh

FROM sid AS files
RUN --mount=type=bind,source=monitoring.sh,target=/recipe.sh \
    sh /recipe.sh /rootfs "prometheus promtool" prometheus=prometheus promtool=promtool \
    /etc/prometheus /prometheus

FROM scratch
COPY --from=files /rootfs/ /
USER nobody
WORKDIR /prometheus
VOLUME /prometheus
EXPOSE 9090
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
