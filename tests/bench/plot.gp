# Pictures from the TSV that remap-bench writes: gnuplot -e "data='bench.tsv'" plot.gp
# Columns: kind size threads state mappings way n min median p99, times in nanoseconds.
if (!exists("data")) data = 'bench.tsv'
ways = "native emulated copying unmap+map"
set terminal svg size 900,520 font "sans,13" background "white"
set datafile separator "\t"
set key left top
set grid
set logscale xy
set format y "%.0s %cs"
set ylabel "median, bar to p99"
# ns to seconds, for rows of one way that satisfy a condition; all others have no value.
seconds(column_ns, good) = good ? column_ns * 1e-9 : NaN
alone(k, w) = strcol(1) eq k && strcol(6) eq w && $3 == 0 && $5 == 0

set output 'bench-sizes.svg'
set title "Moving private memory and leaving the range mapped"
set xlabel "size"
set format x "%.0b %BB"
plot for [w in ways] data skip 1 using \
	2:(strcol(1) eq 'private' && strcol(6) eq w && $3 == 0 && $5 == 0 ? $9 * 1e-9 : NaN):\
	($9 * 1e-9):($10 * 1e-9) with yerrorlines lw 2 title w

set output 'bench-threads.svg'
set title "4 KiB of private memory, other threads blocked"
set xlabel "other threads"
set format x "%g"
set logscale x 2
set xrange [0.7:100]
plot for [w in ways] data skip 1 using \
	($3 == 0 ? 1 : $3):(strcol(1) eq 'private' && strcol(6) eq w && $2 == 4096 && $5 == 0 && \
	strcol(4) eq 'blocked' ? $9 * 1e-9 : NaN):($9 * 1e-9):($10 * 1e-9) \
	with yerrorbars lw 2 title w

set output 'bench-mappings.svg'
set title "4 KiB of private memory, one thread, further mappings"
set xlabel "further mappings"
set xrange [5:10000]
set logscale x 10
plot for [w in ways] data skip 1 using \
	5:(strcol(1) eq 'private' && strcol(6) eq w && $2 == 4096 && $3 == 0 && $5 > 0 ? \
	$9 * 1e-9 : NaN):($9 * 1e-9):($10 * 1e-9) with yerrorlines lw 2 title w
