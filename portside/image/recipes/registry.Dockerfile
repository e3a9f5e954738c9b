# Stands in for registry:2. Built by portside/image/bases.py.
FROM debian:trixie-slim AS lists
# Package lists live as long as the day they were fetched on; every recipe shares this step.
ARG DAY
RUN apt-get update

FROM debian:trixie-slim
RUN --mount=type=bind,from=lists,source=/var/lib/apt/lists,target=/var/lib/apt/lists \
    --mount=type=tmpfs,target=/var/cache/apt \
    --mount=type=bind,source=registry.sh,target=/recipe.sh \
    sh /recipe.sh
COPY registry.yaml /etc/docker/registry/config.yml
VOLUME /var/lib/registry
EXPOSE 5000
ENTRYPOINT ["registry"]
CMD ["serve", "/etc/docker/registry/config.yml"]
