# Stands in for postgres:17. Built by portside/image/bases.py.
FROM debian:trixie-slim AS lists
# Package lists live as long as the day they were fetched on; every recipe shares this step.
ARG DAY
RUN apt-get update

FROM debian:trixie-slim
RUN --mount=type=bind,from=lists,source=/var/lib/apt/lists,target=/var/lib/apt/lists \
    --mount=type=tmpfs,target=/var/cache/apt \
    --mount=type=bind,source=postgres.sh,target=/recipe.sh \
    sh /recipe.sh
COPY --chmod=0755 postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin \
    PGDATA=/var/lib/postgresql/data \
    PG_MAJOR=17 \
    LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
EXPOSE 5432
# SIGINT is PostgreSQL's fast shutdown: clients are cut, nothing is lost.
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
