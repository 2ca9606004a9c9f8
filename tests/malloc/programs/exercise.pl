# Hashes, strings, sorting and closures. Prints sums.
use strict;
use warnings;

my %table;
my $state = 1;
sub next_number { $state = ($state * 1103515245 + 12345) & 0x7fffffff; return $state; }

for my $step (1 .. 200000) {
    my $key = "key " . next_number() % 40000;
    $table{$key} .= chr(97 + $step % 26);
    delete $table{"key " . next_number() % 40000} if $step % 3 == 0;
}
my $sum = 0;
$sum = ($sum * 31 + length $table{$_}) % 1000000007 for sort keys %table;
print "table ", scalar keys %table, " $sum\n";

my $text = join ' ', map { $_ * 7919 } 1 .. 100000;
my $count = () = $text =~ /\b(\d)\d*\1\b/g;
(my $other = $text) =~ s/(\d+)/<$1>/g;
print "text $count ", length $other, "\n";

my @lists = map { my $n = $_; [map { $n * $_ } 1 .. $n % 100] } 1 .. 5000;
my @sorted = sort { $#$a <=> $#$b || $$a[0] // 0 <=> $$b[0] // 0 } @lists;
print "lists ", $#{ $sorted[-1] }, "\n";
my @made = map { my $n = $_; sub { return $n + $_[0] } } 1 .. 50000;
my $total = 0;
$total += $_->(1) for @made;
print "closures $total\n";
