# What emulating costs. Never part of make check, which only looks whether the program works (bench.t).
check_PROGRAMS += tests/bench/remap-bench
tests_bench_remap_bench_SOURCES = \
	tests/bench/bench.h \
	tests/bench/breakdown.c \
	tests/bench/cells.c \
	tests/bench/company.c \
	tests/bench/costs.h \
	tests/bench/filtered.c \
	tests/bench/heap.c \
	tests/bench/measure.c \
	tests/bench/overhead.c \
	tests/bench/remap-bench.c \
	tests/bench/report-costs.c \
	tests/bench/report.c \
	tests/bench/whole.c \
	tools/pretend.c tools/pretend.h tools/errname.c tools/pretend-table.c \
	tools/pretend-notify.c tools/pretend-mremap.c tools/pretend-uffd.c
# whole.c compiles one of our files.
tests_bench_remap_bench_CPPFLAGS = $(AM_CPPFLAGS) -DRM_BENCH_SOURCE='"$(abs_top_srcdir)"'
tests_bench_remap_bench_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(SECCOMP_CFLAGS) -pthread
# breakdown.c times the engine's system calls.
tests_bench_remap_bench_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=rm_syscall
tests_bench_remap_bench_LDADD = libemul.la $(JANSSON_LIBS) $(SECCOMP_LIBS) -ldl
check_PROGRAMS += tests/bench/mirror-bench
tests_bench_mirror_bench_SOURCES = tests/bench/mirror-bench.c
tests_bench_mirror_bench_CFLAGS = $(AM_CFLAGS) -pthread
tests_bench_mirror_bench_LDFLAGS = $(AM_LDFLAGS) -static
tests_bench_mirror_bench_LDADD = libremap.la
TESTS += tests/bench/bench.t

# Instructions of the pure parts, by callgrind.
check_PROGRAMS += tests/bench/counted
tests_bench_counted_SOURCES = tests/bench/counted.c
tests_bench_counted_CPPFLAGS = $(AM_CPPFLAGS) -DRM_COUNTED_CFLAGS='"$(CFLAGS)"'
tests_bench_counted_LDADD = libemul.la
TESTS += tests/bench/counts.t
EXTRA_DIST += tests/bench/count tests/bench/counts tests/bench/counts.t
# The counts of this build become what is expected; git shows what has changed.
counts: tests/bench/counted$(EXEEXT)
	@$(SHELL) $(srcdir)/tests/bench/count tests/bench/counted$(EXEEXT) >counts.new
	@mv counts.new $(srcdir)/tests/bench/counts
	@cat $(srcdir)/tests/bench/counts
.PHONY: counts

EXTRA_DIST += tests/bench/bench.t tests/bench/plot.gp tests/bench/Garbage.java
CLEANFILES += mirrors.txt bench.json bench.tsv counts.new

# BENCH_FLAGS: options for remap-bench, for instance BENCH_FLAGS=--quick; MIRROR_BENCH_FLAGS: largest size in MiB, rounds
# The program is not made beside "all", which is a make of its own: the two would make libemul.la at once.
bench: all
	@$(MAKE) $(AM_MAKEFLAGS) tests/bench/remap-bench$(EXEEXT) tests/bench/mirror-bench$(EXEEXT)
	tests/bench/remap-bench$(EXEEXT) --preload .libs/libremap-preload.so \
		--json bench.json $(BENCH_FLAGS)
	{ tests/bench/mirror-bench$(EXEEXT) $(MIRROR_BENCH_FLAGS) || rm -f mirrors.txt; } | tee mirrors.txt
	@test -s mirrors.txt

# The last run's table, its JSON and pictures of it, into the source tree. doc/README.md explains.
BENCH_JSON = bench.json
BENCH_DOC = $(srcdir)/doc
bench_pictures = bench-sizes.svg bench-sizes.png bench-threads.svg bench-threads.png \
	bench-mappings.svg bench-mappings.png
EXTRA_DIST += doc/README.md doc/floor.md doc/bench.txt doc/bench.json doc/mirrors.txt $(bench_pictures:%=doc/%)
bench-plots: tests/bench/remap-bench$(EXEEXT)
	@if ! command -v gnuplot >/dev/null; then \
		echo "bench-plots: skipped, gnuplot is not installed"; \
	elif ! test -s '$(BENCH_JSON)'; then \
		echo "bench-plots: skipped, there is no $(BENCH_JSON): run make bench first"; \
	else \
		set -e; \
		$(MKDIR_P) '$(BENCH_DOC)'; \
		tests/bench/remap-bench$(EXEEXT) --read '$(BENCH_JSON)' --tsv bench.tsv \
			>'$(BENCH_DOC)/bench.txt'; \
		cp '$(BENCH_JSON)' '$(BENCH_DOC)/bench.json'; \
		test ! -s mirrors.txt || cp mirrors.txt '$(BENCH_DOC)/'; \
		gnuplot -e "data='bench.tsv'; dir='$(BENCH_DOC)'" $(srcdir)/tests/bench/plot.gp; \
		cd '$(BENCH_DOC)' && ls -l bench.txt bench.json $(bench_pictures); \
	fi
.PHONY: bench bench-plots
