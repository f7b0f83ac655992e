# Pictures from the TSV that remap-bench writes: gnuplot -e "data='bench.tsv'" plot.gp
# Columns: kind size threads state mappings way n min median p99, times in nanoseconds.
if (!exists("data")) data = 'bench.tsv'
ways = "native emulated copying unmap+map"
set terminal svg size 900,520 font "sans,13" background "white"
set datafile separator "\t"
set datafile missing NaN	# rows of other cells: left out, and lines go on
set key outside right top
set grid
set logscale y
set format y "%.0s %cs"
set ylabel "median, bars from the least to p99"
is(kind, way) = strcol(1) eq kind && strcol(6) eq way

set output 'bench-sizes.svg'
set title "Moving private memory and leaving its range mapped: one thread"
set xlabel "size"
set logscale x 2
set xrange [2048:8589934592]
set xtics ("4K" 4096, "64K" 65536, "2M" 2097152, "64M" 67108864, "1G" 1073741824, "4G" 4294967296)
plot for [w in ways] data skip 1 using \
	2:(is('private', w) && $3 == 0 && $5 == 0 ? $9 * 1e-9 : NaN):($8 * 1e-9):($10 * 1e-9) \
	with yerrorlines lw 2 title w

set output 'bench-threads.svg'
set title "Moving 4 KiB of private memory: other threads blocked"
set xlabel "other threads"
set xrange [0.7:100]
set xtics ("none" 1, "4" 4, "16" 16, "64" 64, "256" 256, "1024" 1024)
plot for [w in ways] data skip 1 using \
	($3 == 0 ? 1 : $3):(is('private', w) && $2 == 4096 && $5 == 0 && strcol(4) eq 'blocked' ? \
	$9 * 1e-9 : NaN):($8 * 1e-9):($10 * 1e-9) with yerrorlines lw 2 title w

set output 'bench-mappings.svg'
set title "Moving 4 KiB of private memory: one thread, further mappings in the process"
set xlabel "further mappings"
set xrange [0.7:10000]
set logscale x 10
set xtics ("none" 1, "10" 10, "100" 100, "1000" 1000, "5000" 5000)
plot for [w in ways] data skip 1 using \
	($5 == 0 ? 1 : $5):(is('private', w) && $2 == 4096 && $3 == 0 ? $9 * 1e-9 : NaN):\
	($8 * 1e-9):($10 * 1e-9) with yerrorlines lw 2 title w
