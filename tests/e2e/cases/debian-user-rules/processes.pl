# processes.pl PID GROUP: as user 1234, against a process of root's that leads the process group GROUP. What is root's is refused, what
# is one's own is not.
use strict;
use warnings;
use POSIX qw(:errno_h :signal_h setpgid);
my ($root, $group) = @ARGV;
my %nr = (ptrace => 101, tkill => 200, tgkill => 234, rt_sigqueueinfo => 129, process_vm_readv => 310, pidfd_open => 434, pidfd_send_signal => 424,
    pidfd_getfd => 438);
my $bad = 0;
sub refused {
    my ($what, $result) = @_;
    my $errno = $! + 0;
    return if defined($result) && $result == -1 && ($errno == EPERM || $errno == ENOSYS);
    printf "allowed: %s (%s, errno %d)\n", $what, defined($result) ? $result : 'undefined', $errno;
    $bad = 1;
}
sub call { my ($name, @args) = @_; return syscall($nr{$name}, map { /^-?\d+$/ ? $_ + 0 : $_ } @args); }
sub killed { my ($sig, $pid) = @_; return kill($sig, $pid) ? 0 : -1; }

refused('kill', killed('KILL', $root));
refused('kill 0', killed(0, $root));
refused('a group', killed('KILL', -$group));
refused('tkill', call('tkill', $root, 9));
refused('tgkill', call('tgkill', $root, $root, 9));
refused('a queued signal', call('rt_sigqueueinfo', $root, 9, pack('l4 x112', 9, 0, -1, 0)));
my $buffer = ' ' x 8;
refused('reading memory', call('process_vm_readv', $root, pack('PQ', $buffer, 8), 1, pack('QQ', 0x400000, 8), 1, 0));
refused('attaching', call('ptrace', 16, $root, 0, 0));
refused('seizing', call('ptrace', 0x4206, $root, 0, 0));
my $pidfd = call('pidfd_open', $root, 0);
if ($pidfd >= 0) {
    refused('pidfd_send_signal', call('pidfd_send_signal', $pidfd, 9, 0, 0));
    refused('pidfd_getfd', call('pidfd_getfd', $pidfd, 0, 0));
}

# one's own child, by number, by group and together with root's group
for my $how ('number', 'group') {
    my $child = fork();
    if (!$child) { setpgid(0, 0); exec 'sleep', '1000'; }
    setpgid($child, $child);
    if (killed('TERM', $how eq 'group' ? -$child : $child) != 0) { print "refused: one's own by $how: $!\n"; $bad = 1; }
    waitpid($child, 0);
    if (($? & 127) != SIGTERM) { print "not reached by $how: $?\n"; $bad = 1; }
}
my $child = fork();
if (!$child) { sleep 1000; exit 1; }
# all that one may: the kernel leaves root's out, as here; or the pod's wall refuses it
$SIG{TERM} = 'IGNORE';
my $all = kill('TERM', -1) ? 'reached' : $! + 0 == EPERM ? 'refused' : "error $!";
kill('KILL', $child) if $all ne 'reached';
waitpid($child, 0);
if ($all !~ /reached|refused/ || ($all eq 'reached' && ($? & 127) != SIGTERM)) { print "kill -1: $all, $?\n"; $bad = 1; }
exit $bad;
