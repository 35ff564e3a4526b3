# kill -1 reaches the step's own processes alone: the build goes on afterwards
trap "" TERM HUP USR1
sleep 1000 &
perl -e '$SIG{$_} = "IGNORE" for qw(TERM HUP INT USR1 USR2); kill("TERM", -1); kill("HUP", -1); kill("USR1", -1); exit 0'
for d in /proc/[0-9]*; do
    p=${d#/proc/}
    test "$p" = $$ || test "$p" = "$PPID" || kill -STOP "$p" 2>/dev/null
done
# whoever owns a file gets a signal of choice when the file is ready: the builder must not be the owner
perl -e '
my ($SETFL, $SETOWN, $SETSIG, $SETOWN_EX, $FIOSETOWN, $ASYNC, $KILL) = (4, 8, 10, 15, 0x8901, 020000, 9);
for my $dir (glob("/proc/[0-9]*")) {
    my ($pid) = $dir =~ /(\d+)/;
    next if $pid == $$ || grep { $pid == $_ } @ARGV;
    for my $way (sub { fcntl($_[0], $SETOWN, $pid + 0) }, sub { fcntl($_[0], $SETOWN, -$pid) },
                 sub { fcntl($_[0], $SETOWN_EX, pack("ll", 1, $pid)) }, sub { ioctl($_[0], $FIOSETOWN, pack("l", $pid)) }) {
        pipe(my $in, my $out) or die;
        fcntl($in, $SETSIG, $KILL) or die;
        $way->($in);
        fcntl($in, $SETFL, $ASYNC) or die;
        syswrite($out, "x");
    }
}' $$ $PPID || exit 1
exit 0
