# control-center as a static program on a small image, run by a user without rights.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/control-center ./control-center/cmd/control-center \
 && mkdir -m 700 /data

FROM debian:bookworm-slim
COPY --from=build /out/control-center /usr/local/bin/control-center
COPY --from=build --chown=65532:65532 --chmod=700 /data /data
USER 65532:65532
VOLUME /data
EXPOSE 9080
ENTRYPOINT ["/usr/local/bin/control-center"]
