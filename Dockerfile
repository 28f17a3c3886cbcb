# Causeway as an image: the static binary, certificates of authorities, and
# nothing else. It runs as an ordinary user and keeps everything in /data.
#
#	docker build -t causeway .
#	docker run -p 8008:8008 -v causeway-data:/data -e CAUSEWAY_SERVER_NAME=example.org causeway

FROM golang:1.26-bookworm AS build
WORKDIR /src
# The modules change less often than the sources: a layer of their own.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -tags goolm -trimpath -ldflags='-s -w' -o /out/causeway ./cmd/causeway
# What a scratch image does not have, with the rights that it must have.
RUN mkdir -p /out/root/data /out/root/tmp /out/root/etc/ssl/certs \
	&& chmod 1777 /out/root/tmp \
	&& chmod 700 /out/root/data \
	&& cp /etc/ssl/certs/ca-certificates.crt /out/root/etc/ssl/certs/ \
	&& echo 'causeway:x:10001:10001::/data:/sbin/nologin' >/out/root/etc/passwd \
	&& echo 'causeway:x:10001:' >/out/root/etc/group \
	&& chown 10001:10001 /out/root/data

FROM scratch
COPY --from=build /out/root/ /
COPY --from=build --chown=10001:10001 /out/root/data/ /data/
COPY --from=build /out/causeway /usr/bin/causeway
USER 10001:10001
WORKDIR /data
VOLUME /data
# The configuration is written at the first start. In a container the server
# must listen on more than the container's own loopback.
ENV CAUSEWAY_CONFIG=/data/causeway.yaml CAUSEWAY_LISTEN=:8008
EXPOSE 8008 3478 3478/udp 7882 7882/udp
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/causeway"]
CMD ["serve"]
