use strict;
use warnings;
my ($file, $name) = ($ARGV[0], "system.posix_acl_$ARGV[1]");
syscall(197, $file, $name) == 0 or die "$file: $!";
