# As user 1234: renameat(2) and linkat(2) between two open directories, one of which could not be reached by its path.
use strict;
use warnings;
my ($renameat, $linkat) = (264, 265);
open(my $open,   '<', '/open/a')   or die "open: $!";
open(my $locked, '<', '/locked/b') or die "open: $!";
$) = "1234 1234";
$> = 1234;
open(my $f, '>', '/open/a/f') or die "make: $!";
close $f;
sub try {
    my ($what, $nr, $from, $name, $to, $new, @flags) = @_;
    syscall($nr, fileno($from), $name, fileno($to), $new, @flags) == 0 or die "$what: $!";
}
try('rename', $renameat, $open, 'f', $locked, 'g');
try('link', $linkat, $locked, 'g', $open, 'h', 0);
try('link back', $linkat, $open, 'h', $locked, 'i', 0);
