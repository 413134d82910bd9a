# The operator's image, for people with Docker. (make images builds the same
# without it.) All programs are in one image: the manager starts pods that
# run the runner from the image that it was started from, which gives steps
# their helper.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS=linux
ARG TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY api api
COPY cmd cmd
COPY controllers controllers
COPY emulator emulator
COPY internal internal
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags="-s -w" -o /out/ ./cmd/manager ./cmd/runner ./cmd/step ./cmd/codepipeline-emulator

# docker build --target emulator: the emulator's image.
FROM gcr.io/distroless/static-debian12:nonroot AS emulator
COPY --from=build /out/codepipeline-emulator /
USER 65532:65532
EXPOSE 4566
ENTRYPOINT ["/codepipeline-emulator"]
CMD ["--listen=0.0.0.0:4566"]

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/manager /out/runner /out/step /
USER 65532:65532
ENTRYPOINT ["/manager"]
