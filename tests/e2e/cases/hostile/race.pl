# One process gives its memory to another, which changes the path while the supervisor looks at it: root's file must stay as it is.
use strict;
use warnings;
# shared: the child writes where the parent's call reads
my $shared = syscall(9, 0, 4096, 3, 0x21, -1, 0);
die "mmap: $!" if $shared == -1;
# process_vm_writev to itself: perl has no other way to write at an address
sub poke {
    my ($text) = @_;
    my $from = pack('PQ', $text, length $text);
    my $to = pack('QQ', $shared, length $text);
    syscall(311, $$ + 0, $from, 1, $to, 1, 0) == length $text or die "poke: $!";
}
poke("/own\0");
my $child = fork();
if (!$child) {
    for (1 .. 3000) { poke("/secret\0"); poke("/own\0"); }
    exit 0;
}
my ($chmod, $chown, $truncate, $open) = (90, 92, 76, 257);
for (1 .. 3000) {
    syscall($chmod, $shared, 0666);
    syscall($chown, $shared, 1234, 1234);
    syscall($truncate, $shared, 0);
    my $fd = syscall($open, -100, $shared, 1, 0);
    if ($fd >= 0) { open(my $f, '>&=', $fd); syswrite($f, 'x'); close $f; }
}
waitpid($child, 0);
my ($mode, $uid, $size) = (stat '/secret')[2, 4, 7];
printf "%o %d %d\n", $mode & 07777, $uid, $size;
exit(($mode & 07777) == 0600 && $uid == 0 && $size == 0 ? 0 : 1);
