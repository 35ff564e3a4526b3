#!/bin/sh
# build-image.sh BUILD-DIR: builds copyup's own image with copyup, into the OCI layout BUILD-DIR/image-oci.
# Publish it with e.g. `skopeo copy oci:build/image-oci docker://registry.example.com/copyup:latest`.
set -eu
cd "$(dirname "$0")/.."
build=$(realpath "$1")
context=$build/image
rm -rf "$context" "$build/image-oci"
mkdir -p "$context/kaniko"
strip -o "$context/copyup" "$build/copyup"
ln -s /usr/local/bin/copyup "$context/kaniko/kaniko-acr"
cp /etc/ssl/certs/ca-certificates.crt "$context/"
chmod 0755 "$context/copyup"
chmod 0644 "$context/ca-certificates.crt"
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
# the time of the commit, so that the same source gives the same image
when=$(git log -1 --format=%ct 2> /dev/null || echo 0)
env -i PATH="$PATH" HOME="$state" SOURCE_DATE_EPOCH="$when" PLUGIN_NO_PUSH=true PLUGIN_REGISTRY=localhost PLUGIN_REPO=localhost/copyup \
    PLUGIN_TAGS=latest PLUGIN_DOCKERFILE="$PWD/Dockerfile" PLUGIN_CONTEXT="$context" PLUGIN_STATE_DIR="$state/state" \
    PLUGIN_OCI_LAYOUT_PATH="$build/image-oci" "$build/copyup"
du -sh "$build/image-oci"
