# orchestrator as a static program on a small base, run by a user without rights.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/orchestrator ./orchestrator/cmd/orchestrator \
 && mkdir -m 700 /data

# The recipes of local servers are shell scripts, so not a bare image; an https control-center needs the authorities.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/orchestrator /usr/local/bin/orchestrator
COPY --from=build --chown=65532:65532 --chmod=700 /data /data
USER 65532:65532
VOLUME /data
EXPOSE 9090
ENTRYPOINT ["/usr/local/bin/orchestrator"]
