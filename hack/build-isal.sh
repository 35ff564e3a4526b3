#!/bin/sh
# build-isal.sh DIR: puts static ISA-L (its inflate and checksums) and its headers into DIR/lib and DIR/include/isa-l, from
# Debian's source. Debian's libisal-dev has a shared library only.
set -eu
dir=$1
mkdir -p "$dir/lib" "$dir/include/isa-l"
dir=$(cd "$dir" && pwd)
work=$dir/isal
rm -rf "$work"
"$(dirname "$0")/debian-source.sh" libisal 2.30.0 "$work"
cd "$work"
make -f Makefile.unx -j"$(nproc)" CC="${CC:-gcc}" units='igzip crc' \
    CFLAGS_="-g -w -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections" lib > make.log 2>&1 ||
    { tail -20 make.log >&2; exit 1; }
cp include/igzip_lib.h include/types.h "$dir/include/isa-l/"
cp bin/isa-l.a "$dir/lib/libisal.tmp"
mv "$dir/lib/libisal.tmp" "$dir/lib/libisal.a"
rm -rf "$work"
