# set.pl FILE NAME: an access list with user 33 and group 44. unset.pl takes it away.
use strict;
use warnings;
my ($file, $name) = @ARGV;
my $list = pack('V', 2) . join('', map { pack('vvV', @$_) } [1, 6, 0xffffffff], [2, 7, 33], [4, 4, 0xffffffff], [8, 5, 44], [16, 7, 0xffffffff], [32, 0, 0xffffffff]);
$name = "system.posix_acl_$name";
syscall(188, $file, $name, $list, length $list, 0) == 0 or die "$file: $!";
# a list that is none is refused as the kernel refuses it
syscall(188, $file, $name, substr($list, 0, 15), 15, 0) == -1 && $! + 0 == 22 or die "half a list: $!";
