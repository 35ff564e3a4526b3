# Every way out that a container's root has tried: each must fail.
use strict;
use warnings;
my %nr = (ptrace => 101, mount => 165, umount2 => 166, pivot_root => 155, open_by_handle_at => 304, name_to_handle_at => 303, setns => 308,
    kexec_load => 246, init_module => 175, reboot => 169, swapon => 167, bpf => 321, fsopen => 430,
    move_mount => 429, open_tree => 428, mount_setattr => 442, add_key => 248, perf_event_open => 298, userfaultfd => 323, iopl => 172,
    acct => 163, settimeofday => 164, syslog => 103, mknod => 133);
my $bad = 0;
sub refused {
    my ($what, $result) = @_;
    return if !defined($result) || $result == -1;
    print "allowed: $what\n";
    $bad = 1;
}
sub call { my ($name, @args) = @_; return syscall($nr{$name}, @args); }
my $nothing = "none";
mkdir '/m';
refused('mount tmpfs', call('mount', $nothing, '/m', 'tmpfs', 0, 0));
refused('mount proc', call('mount', 'proc', '/m', 'proc', 0, 0));
refused('bind /', call('mount', '/', '/m', $nothing, 4096, 0));
refused('remount / writable', call('mount', $nothing, '/sys', $nothing, 32 | 4096, 0));
refused('unmount /proc', call('umount2', '/proc', 2));
refused('unmount /', call('umount2', '/', 2));
refused('pivot_root', call('pivot_root', '/m', '/m'));
refused('fsopen', call('fsopen', 'tmpfs', 0));
refused('open_tree', call('open_tree', -100, '/', 1));
refused('mount_setattr', call('mount_setattr', -100, '/', 0, 0, 0));
# a file handle names a file of the whole file system, whatever the root: 8 bytes of a handle of inode 2
my $handle = pack('ll', 8, 1) . pack('LL', 2, 0);
open(my $root, '<', '/') or die;
refused('open_by_handle_at', call('open_by_handle_at', fileno($root), $handle, 0));
for my $ns ('mnt', 'user', 'pid', 'net') {
    for my $pid (1, getppid()) {
        open(my $fd, '<', "/proc/$pid/ns/$ns") or next;
        next if (stat($fd))[1] == (stat("/proc/self/ns/$ns"))[1];
        refused("setns $ns of $pid", call('setns', fileno($fd), 0));
    }
}
# other processes than our own: those outside, where the pod shows them
opendir(my $proc, '/proc') or die;
my %own = ($$ => 1, getppid() => 1);
for my $pid (grep { /^\d+$/ && !$own{$_} } readdir $proc) {
    my ($env, $buffer);
    undef $env if !open($env, '<', "/proc/$pid/environ");
    next if $env && defined(sysread($env, $buffer, 1)); # of this RUN
    refused("root of $pid", opendir(my $dir, "/proc/$pid/root/") ? 0 : -1);
    refused("attach to $pid", call('ptrace', 16, $pid + 0, 0, 0));
}
for my $name ('kexec_load', 'init_module', 'reboot', 'swapon', 'bpf', 'add_key', 'perf_event_open', 'userfaultfd', 'acct', 'settimeofday') {
    refused($name, call($name, 0, 0, 0, 0, 0));
}
refused('iopl', call('iopl', 3));
refused('the kernel log', call('syslog', 3, ' ' x 64, 64));
for my $file ('/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/proc/sys/kernel/hostname', '/sys/kernel/uevent_helper', '/proc/kcore') {
    my $f;
    refused("write $file", open($f, '>>', $file) ? syswrite($f, 'x') : -1);
}
# a device that the record calls a disk is none
my ($disk, $sector);
refused('a disk', call('mknod', '/m/disk', 0060600, 0x0800) == 0 && open($disk, '<', '/m/disk') ? sysread($disk, $sector, 512) || -1 : -1);
# ".." and a descriptor from before chroot end at the root of the RUN
chdir '/' or die;
chdir '..' for 1 .. 64;
refused('above the root', -e './mnt/context' ? 0 : -1);
mkdir '/m/jail';
open(my $outside, '<', '/') or die;
if (chroot '/m/jail') {
    chdir($outside);
    chdir '..' for 1 .. 64;
    refused('out of a chroot', -e './mnt/context' || !-e './escape.pl' ? 0 : -1);
}
exit $bad;
