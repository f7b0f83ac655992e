# Programs of others beside moves. The library that moves is preloaded into them; it has no sanitizers.
noinst_LTLIBRARIES += tests/beside/libmover.la
tests_beside_libmover_la_SOURCES = tests/beside/mover.c
tests_beside_libmover_la_CFLAGS = -std=gnu11 -Wall -Wextra -pthread
tests_beside_libmover_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
EXTRA_DIST += tests/beside/beside.t

# By itself, not in check: programs' own tests count on time that others leave them.
check-beside: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='tests/beside/beside.t'
.PHONY: check-beside
