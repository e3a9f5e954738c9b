# Stands in for python:3.13-slim-trixie. Built by portside/image/bases.py.
FROM debian:trixie-slim AS lists
# Package lists live as long as the day they were fetched on; every recipe shares this step.
ARG DAY
RUN apt-get update

FROM debian:trixie-slim
RUN --mount=type=bind,from=lists,source=/var/lib/apt/lists,target=/var/lib/apt/lists \
    --mount=type=tmpfs,target=/var/cache/apt \
    --mount=type=bind,source=python.sh,target=/recipe.sh \
    sh /recipe.sh
ENV LANG=C.UTF-8
CMD ["python3"]
