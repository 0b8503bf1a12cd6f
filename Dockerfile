# A static binary in an empty image: no shell, no package manager, not root.
#
#   docker build -t panelmatch .
#   docker run --rm -v "$PWD/manifests/quickstart:/etc/panelmatch:ro" panelmatch vet /etc/panelmatch/edp.yaml

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH VERSION=devel
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY engine engine
COPY providers providers
COPY schema schema
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /panelmatch ./cmd/panelmatch \
 && mkdir -p /rootfs/tmp /rootfs/etc/ssl/certs /rootfs/usr/share \
 && chmod 1777 /rootfs/tmp \
 && cp /etc/ssl/certs/ca-certificates.crt /rootfs/etc/ssl/certs/ \
 && echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' > /rootfs/etc/passwd

FROM scratch
COPY --from=build /rootfs /
COPY --from=build /panelmatch /panelmatch
USER 65532:65532
ENTRYPOINT ["/panelmatch"]
CMD ["version"]
