# syntax=docker/dockerfile:1
# The agent on a GPU host, with the workers that ship. It dials out; nothing listens.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends nodejs npm python3 make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target make dist

FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates ffmpeg libvulkan1 libomp5 tini && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home backlot && install -d -o backlot /var/lib/backlot
COPY workers /opt/backlot/workers
# Every package is listed there; what the packages ask for besides would need a desktop's libraries.
RUN pip install --no-cache-dir --no-deps -r /opt/backlot/workers/requirements.txt \
    && python /opt/backlot/workers/fetch_models.py
COPY --from=build /src/dist/backlot-agent /usr/local/bin/backlot-agent
USER 10001
ENV BACKLOT_DATA=/var/lib/backlot \
    BACKLOT_AGENT__WORKERS_DIR=/opt/backlot/workers BACKLOT_AGENT__PYTHON=/usr/local/bin/python

# tini waits for the orphans of model processes, which the agent cannot.
ENTRYPOINT ["tini", "--", "backlot-agent"]
