#!/bin/sh
# build-curl.sh DIR: puts a minimal static libcurl (HTTP, HTTPS, HTTP/2; OpenSSL) and its headers into DIR/lib and
# DIR/include, from Debian's curl source. Debian's own libcurl.a needs libraries that Debian does not ship static.
set -eu
dir=$1
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
work=$dir/curl
rm -rf "$work"
mkdir -p "$dir/lib" "$dir/include"
"$(dirname "$0")/debian-source.sh" curl 7.88.1 "$work"
cd "$work"
# without this, make would run the autotools again: dpkg-source sets one time on all files
find . \( -name aclocal.m4 -o -name Makefile.in -o -name configure -o -name '*.h.in' \) -exec touch {} +
CC=${CC:-gcc} CFLAGS='-O2' ./configure -q --disable-shared --enable-static --disable-dependency-tracking \
    --with-openssl --with-nghttp2 --with-zlib --without-brotli --without-zstd --without-libidn2 --without-libpsl \
    --without-librtmp --without-libssh2 --without-libssh --without-gssapi --without-ca-bundle --without-ca-path \
    --without-ca-fallback --disable-ldap --disable-ldaps --disable-ftp --disable-file --disable-dict \
    --disable-telnet --disable-tftp --disable-pop3 --disable-imap --disable-smtp --disable-smb --disable-gopher \
    --disable-mqtt --disable-rtsp --disable-manual --disable-ntlm --disable-ntlm-wb --disable-tls-srp \
    --disable-alt-svc --disable-hsts --disable-netrc --disable-doh --disable-progress-meter \
    --disable-libcurl-option --disable-openssl-auto-load-config --enable-threaded-resolver \
    > configure.log 2>&1 || { tail -20 configure.log >&2; exit 1; }
# compiled directly, not through libtool: a third less time
# shellcheck disable=SC2016 # expanded by the inner shell
find lib -name '*.c' -print0 | xargs -0 -P "$(nproc)" -I{} sh -c '
    ${CC:-gcc} -O2 -g -w -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections \
    -DHAVE_CONFIG_H -DBUILDING_LIBCURL -DCURL_STATICLIB -DCURL_HIDDEN_SYMBOLS -Iinclude -Ilib -c "$1" -o "${1%.c}.o"' _ {}
cp -r include/curl "$dir/include/"
rm -f "$dir/lib/libcurl.tmp"
find lib -name '*.o' -print0 | sort -z | xargs -0 ar rcs "$dir/lib/libcurl.tmp"
mv "$dir/lib/libcurl.tmp" "$dir/lib/libcurl.a"
rm -rf "$work"
