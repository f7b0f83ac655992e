# Pictures from the TSV that remap-bench writes: gnuplot -e "data='bench.tsv'; dir='doc'" plot.gp
# Columns: kind size threads state mappings way n min median p99 place caches, times in nanoseconds.
# Writes bench-sizes, bench-threads and bench-mappings into dir, as .svg and as .png each.
if (!exists("data")) data = 'bench.tsv'
if (!exists("dir")) dir = '.'
set datafile separator "\t"
set datafile missing NaN	# rows of other cells: left out, and lines go on
set grid xtics ytics back lt 1 lw 0.5 lc rgb "#dddddd"
set border lc rgb "#666666"
set tics textcolor rgb "#222222"
set logscale y
set format y "%.0s %cs"
set ylabel "time of a move"
set style line 1 lw 2 pt 7  ps 0.7 lc rgb "#1b7837"	# native
set style line 2 lw 2 pt 5  ps 0.7 lc rgb "#2166ac"	# emulated
set style line 3 lw 2 pt 9  ps 0.8 lc rgb "#67a9cf" dt 2	# first
set style line 4 lw 2 pt 11 ps 0.8 lc rgb "#b2182b"	# copying
set style line 5 lw 2 pt 13 ps 0.9 lc rgb "#e08214" dt 4	# unmap+map
set style line 6 lw 2 pt 4  ps 0.7 lc rgb "#762a83" dt 3	# stopped
ways = "native emulated first copying unmap+map stopped"
says(w) = w eq 'first' ? 'emulated, first move of a range' : w eq 'emulated' ? 'emulated, again' : \
	w eq 'copying' ? 'copying (memcpy)' : w eq 'unmap+map' ? 'unmap, map again (unsafe)' : \
	w eq 'stopped' ? 'other threads stand still' : 'native'
top = "Median; bars from the least to p99. Logarithmic scales."
is(kind, way) = strcol(1) eq kind && strcol(6) eq way && strcol(11) eq 'reserved' && strcol(12) eq 'warm'
terminal(type, w, h) = type eq 'svg' ? \
	sprintf('svg size %d,%d dynamic font "sans,12" background "white"', w, h) : \
	sprintf('pngcairo size %d,%d font "sans,10" background "white"', w, h)

# One legend for all panels of a picture, below them.
do for [type in "svg png"] {
	eval "set terminal ".terminal(type, 1100, 820)
	set output dir.'/bench-sizes.'.type
	set multiplot layout 2,2 title "Moving memory and leaving its range mapped: by size, one thread\n".top \
		margins 0.09,0.98,0.165,0.90 spacing 0.11,0.13
	set logscale x 2
	set xrange [2**11.5:2**34.5]
	set yrange [1e-6:100]
	set xtics ("4 KiB" 2**12, "64 KiB" 2**16, "2 MiB" 2**21, "64 MiB" 2**26, "1 GiB" 2**30, "16 GiB" 2**34)
	set xlabel "size of the range"
	do for [panel = 1:4] {
		kind = word("private shared thp sparse", panel)
		set title (panel == 1 ? "private memory, base pages" : panel == 2 ? "shared memory, base pages" : \
			panel == 3 ? "private memory, huge pages" : "private memory, 1 page in 16 populated") offset 0,-0.5
		if (panel == 4) {
			set key at screen 0.5,0.04 center center vertical maxrows 2 samplen 4
		} else {
			set key off
		}
		plot for [i = 1:5] data skip 1 using \
			2:(is(kind, word(ways, i)) && $3 == 0 && $5 == 0 ? $9 * 1e-9 : NaN):($8 * 1e-9):($10 * 1e-9) \
			with yerrorlines ls i title says(word(ways, i))
	}
	unset multiplot

	eval "set terminal ".terminal(type, 1100, 500)
	set output dir.'/bench-threads.'.type
	set multiplot layout 1,2 title "Moving 4 KiB of private memory: by other threads\n".top \
		margins 0.09,0.98,0.27,0.82 spacing 0.11,0.12
	set xrange [0.35:90]
	set yrange [1e-6:10]
	set xtics ("none" 0.5, "1" 1, "4" 4, "16" 16, "64" 64)
	set xlabel "other threads in the process"
	do for [panel = 1:2] {
		state = word("blocked spin", panel)
		set title (panel == 1 ? "blocked in read(2)" : "running") offset 0,-0.5
		if (panel == 2) {
			set key at screen 0.5,0.065 center center vertical maxrows 2 samplen 4
		} else {
			set key off
		}
		plot for [i = 1:6] data skip 1 using ($3 == 0 ? 0.5 : $3):\
			(is('private', word(ways, i)) && $2 == 4096 && $5 == 0 && ($3 == 0 || strcol(4) eq state) ? \
			$9 * 1e-9 : NaN):($8 * 1e-9):($10 * 1e-9) with yerrorlines ls i title says(word(ways, i))
	}
	unset multiplot

	eval "set terminal ".terminal(type, 1000, 500)
	set output dir.'/bench-mappings.'.type
	set title "Moving 4 KiB of private memory: by mappings of the process, one thread\n".top offset 0,0
	set xlabel "further mappings in the process"
	set logscale x 10
	set xrange [0.7:80000]
	set xtics ("none" 1, "10" 10, "100" 100, "1,000" 1000, "10,000" 10000, "50,000" 50000)
	set bmargin at screen 0.27
	set key at screen 0.5,0.065 center center vertical maxrows 2 samplen 4
	plot for [i = 1:5] data skip 1 using ($5 == 0 ? 1 : $5):\
		(is('private', word(ways, i)) && $2 == 4096 && $3 == 0 ? $9 * 1e-9 : NaN):\
		($8 * 1e-9):($10 * 1e-9) with yerrorlines ls i title says(word(ways, i))
	unset output
}
