# The differential tester: the kernel is the oracle. An ordinary program: it links nothing of ours.
check_PROGRAMS += tests/oracle/remap-oracle
tests_oracle_remap_oracle_SOURCES = \
	tests/oracle/oracle.h \
	tests/oracle/block.c \
	tests/oracle/compare.c \
	tests/oracle/excuse.c \
	tests/oracle/execute.c \
	tests/oracle/field.c \
	tests/oracle/generate.c \
	tests/oracle/observe.c \
	tests/oracle/oracle.c \
	tests/oracle/out.c \
	tests/oracle/record.c \
	tests/oracle/repro.c \
	tests/oracle/run.c \
	tests/oracle/scenario.c \
	tests/oracle/scenarios-destination.c \
	tests/oracle/scenarios-dontunmap.c \
	tests/oracle/scenarios-errno.c \
	tests/oracle/scenarios-special.c \
	tests/oracle/scenarios-uffd.c \
	tests/oracle/script.c \
	tests/oracle/shrink.c \
	tests/oracle/side.c \
	tests/oracle/smaps.c
# No lazy binding: it would be done anew in each of the forked children.
tests_oracle_remap_oracle_CFLAGS = $(AM_CFLAGS) -pthread
tests_oracle_remap_oracle_LDFLAGS = $(AM_LDFLAGS) -pthread -Wl,-z,now

# Whether a recording of everything is a standard for this kernel.
check_PROGRAMS += tests/oracle/zero-page
tests_oracle_zero_page_SOURCES = tests/oracle/zero-page.c

# What the tester must find wrong. Shared in spite of noinst (-rpath), and without sanitizers.
noinst_LTLIBRARIES += tests/oracle/naive-shim.la
tests_oracle_naive_shim_la_SOURCES = tests/oracle/naive-shim.c
tests_oracle_naive_shim_la_CFLAGS = -std=gnu11
tests_oracle_naive_shim_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere

TESTS += tests/oracle/oracle.t
EXTRA_DIST += tests/oracle/oracle.t tests/oracle/documented tests/oracle/excused tests/oracle/open tests/oracle/README.md \
	tests/oracle/recordings/full-random.txt \
	tests/oracle/recordings/portable-random.txt \
	tests/oracle/recordings/portable-scenarios.txt

# The distance: a million random operations and more in each configuration. ORACLE_SEQUENCES=1000 for a look.
oracle: all $(check_PROGRAMS)
	srcdir=$(srcdir) abs_top_builddir=$(abs_top_builddir) abs_top_srcdir=$(abs_top_srcdir) \
		ORACLE_SEQUENCES=$${ORACLE_SEQUENCES:-25000} $(SHELL) $(srcdir)/tests/oracle/oracle.t
.PHONY: oracle
