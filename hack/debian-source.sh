#!/bin/sh
# debian-source.sh PACKAGE VERSION DIR: unpacks Debian's source of that upstream version into DIR, which must not exist.
# For libraries that Debian does not ship static.
set -eu
package=$1 version=$2 dir=$3
dl=$dir.download
rm -rf "$dl"
mkdir -p "$dl"
# apt drops its rights to _apt for the download: a directory that only we may enter makes it warn
(cd "$dl" && apt-get -q source --only-source "$package")
test -d "$dl/$package-$version" || { echo "expected $package $version, got: $(ls "$dl")" >&2; exit 1; }
mv "$dl/$package-$version" "$dir"
rm -rf "$dl"
