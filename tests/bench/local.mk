# What emulating costs. Never part of make check, which only looks whether the program works (bench.t).
check_PROGRAMS += tests/bench/remap-bench
tests_bench_remap_bench_SOURCES = \
	tests/bench/bench.h \
	tests/bench/breakdown.c \
	tests/bench/cells.c \
	tests/bench/company.c \
	tests/bench/heap.c \
	tests/bench/measure.c \
	tests/bench/overhead.c \
	tests/bench/remap-bench.c \
	tests/bench/report.c
tests_bench_remap_bench_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) -pthread
# breakdown.c times the engine's system calls.
tests_bench_remap_bench_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=rm_syscall
tests_bench_remap_bench_LDADD = libemul.la $(JANSSON_LIBS) -ldl
check_PROGRAMS += tests/bench/mirror-bench
tests_bench_mirror_bench_SOURCES = tests/bench/mirror-bench.c
tests_bench_mirror_bench_CFLAGS = $(AM_CFLAGS) -pthread
tests_bench_mirror_bench_LDFLAGS = $(AM_LDFLAGS) -static
tests_bench_mirror_bench_LDADD = libremap.la
TESTS += tests/bench/bench.t
EXTRA_DIST += tests/bench/bench.t tests/bench/plot.gp
CLEANFILES += bench.json bench.tsv bench-sizes.svg bench-threads.svg bench-mappings.svg

# BENCH_FLAGS: options for remap-bench, for instance BENCH_FLAGS=--quick; MIRROR_BENCH_FLAGS: largest size in MiB, rounds
# The program is not made beside "all", which is a make of its own: the two would make libemul.la at once.
bench: all
	@$(MAKE) $(AM_MAKEFLAGS) tests/bench/remap-bench$(EXEEXT) tests/bench/mirror-bench$(EXEEXT)
	tests/bench/remap-bench$(EXEEXT) --preload .libs/libremap-preload.so \
		--json bench.json $(BENCH_FLAGS)
	tests/bench/mirror-bench$(EXEEXT) $(MIRROR_BENCH_FLAGS)

# Pictures of the last run.
bench-plots: tests/bench/remap-bench$(EXEEXT)
	@if ! command -v gnuplot >/dev/null; then \
		echo "bench-plots: skipped, gnuplot is not installed"; \
	elif ! test -s bench.json; then \
		echo "bench-plots: skipped, there is no bench.json: run make bench first"; \
	else \
		tests/bench/remap-bench$(EXEEXT) --read bench.json --tsv bench.tsv >/dev/null && \
		gnuplot -e "data='bench.tsv'" $(srcdir)/tests/bench/plot.gp && \
		ls -l bench-*.svg; \
	fi
.PHONY: bench bench-plots
