# Everything here must be refused: run as user 1234.
fail() {
    echo "allowed: $*"
    exit 1
}
test "$(id -u)" = 1234 || fail "not user 1234"
for f in /etc/shadow /kept /closed/in; do
    cat $f 2>/dev/null && fail "read $f"
    { echo x > $f; } 2>/dev/null && fail "write $f"
    { echo x >> $f; } 2>/dev/null && fail "append to $f"
    rm -f $f 2>/dev/null && fail "remove $f"
    mv $f /tmp/moved 2>/dev/null && fail "move $f"
    ln $f /tmp/linked 2>/dev/null && fail "link $f"
    chmod 666 $f 2>/dev/null && fail "chmod $f"
    chown 1234 $f 2>/dev/null && fail "chown $f"
    test -r $f && fail "may read $f"
    truncate -s 0 $f 2>/dev/null && fail "truncate $f"
done
ls /root /closed 2>/dev/null | grep . && fail "list"
(cd /closed) 2>/dev/null && fail "enter"
stat /closed/in 2>/dev/null && fail "stat"
rmdir /var/backups 2>/dev/null && fail "remove a directory"
touch /etc/made 2>/dev/null && fail "make a file"
mkdir /etc/dir 2>/dev/null && fail "make a directory"
perl -e 'exit(truncate("/etc/passwd", 0) ? 0 : 1)' && fail "truncate /etc/passwd"
perl -e 'exit(chroot("/tmp") ? 0 : 1)' && fail "chroot"
exit 0
