# The image of the step: one static file, its old name, and the certificates of the authorities. The context is build/image,
# which hack/build-image.sh fills; `make image` builds it with copyup itself.
FROM scratch
COPY copyup /usr/local/bin/copyup
COPY kaniko /kaniko
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/usr/local/bin:/kaniko
LABEL org.opencontainers.image.title=copyup org.opencontainers.image.licenses=Apache-2.0
USER 1000:1000
ENTRYPOINT ["/usr/local/bin/copyup"]
