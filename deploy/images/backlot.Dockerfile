# syntax=docker/dockerfile:1
# Everything in one container: for a machine of one's own.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends nodejs npm python3 make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target make dist

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates ffmpeg && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home backlot && install -d -o backlot /var/lib/backlot
COPY --from=build /src/dist/backlot /usr/local/bin/backlot
USER 10001
ENV BACKLOT_DATA=/var/lib/backlot BACKLOT_PORT=8080 BACKLOT_HTTP__HOST=0.0.0.0
EXPOSE 8080
ENTRYPOINT ["backlot"]
CMD ["serve"]
