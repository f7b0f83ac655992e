check_PROGRAMS += tests/stress/stress
tests_stress_stress_SOURCES = tests/stress/stress.c tests/stress/stress.h tests/stress/shuttle.c \
	tests/stress/sleepers.c tests/stress/crowd.c tests/stress/forks.c tests/stress/movers.c \
	tests/stress/handlers.c tests/stress/ring.c tests/stress/aio.c
tests_stress_stress_CFLAGS = $(AM_CFLAGS) -pthread
check_PROGRAMS += tests/stress/mirror-stress
tests_stress_mirror_stress_SOURCES = tests/stress/mirror-stress.c
tests_stress_mirror_stress_CFLAGS = $(AM_CFLAGS) -pthread
TESTS += tests/stress/stress.t tests/stress/mirror.t
EXTRA_DIST += tests/stress/stress.t tests/stress/mirror.t

# The figures of the stress tests: 100,000 moves of every kind, 1,000 conversions and one of 1 GiB.
stress: all
	@$(MAKE) $(AM_MAKEFLAGS) $(check_PROGRAMS)
	srcdir=$(srcdir) abs_top_builddir=$(abs_top_builddir) abs_top_srcdir=$(abs_top_srcdir) \
		STRESS_MOVES=$${STRESS_MOVES:-100000} $(SHELL) $(srcdir)/tests/stress/stress.t
	srcdir=$(srcdir) abs_top_builddir=$(abs_top_builddir) abs_top_srcdir=$(abs_top_srcdir) \
		STRESS_ROUNDS=$${STRESS_ROUNDS:-1000} STRESS_LARGE=$${STRESS_LARGE:-1048576} \
		$(SHELL) $(srcdir)/tests/stress/mirror.t
.PHONY: stress
