# What the preload must be beside doing its work. The programs and libraries here are what it meets; they have no
# sanitizers, as they run with a library that may have them or not.
check_PROGRAMS += tests/preload/workout tests/preload/own-mremap tests/preload/count-syscalls \
	tests/preload/execs tests/preload/known tests/preload/pieces tests/preload/segv tests/preload/stats tests/preload/stats-static tests/preload/transfers \
	tests/preload/waits
check_PROGRAMS += tests/preload/mirror-fork tests/preload/loaded-late
tests_preload_loaded_late_SOURCES = tests/preload/loaded-late.c
tests_preload_loaded_late_CFLAGS = $(AM_CFLAGS) -pthread
tests_preload_loaded_late_LDADD = -ldl -lpthread
tests_preload_mirror_fork_SOURCES = tests/preload/mirror-fork.c
tests_preload_workout_SOURCES = tests/preload/workout.c
tests_preload_own_mremap_SOURCES = tests/preload/workout.c
tests_preload_own_mremap_CPPFLAGS = $(AM_CPPFLAGS) -DOWN_MREMAP
tests_preload_count_syscalls_SOURCES = tests/preload/count-syscalls.c
tests_preload_execs_SOURCES = tests/preload/execs.c
tests_preload_execs_CFLAGS = $(AM_CFLAGS) -pthread
tests_preload_known_SOURCES = tests/preload/known.c tests/preload/known-changes.c tests/preload/known.h
tests_preload_known_CFLAGS = $(AM_CFLAGS) -pthread
tests_preload_transfers_SOURCES = tests/preload/transfers.c tests/preload/guarded-stack.h tests/preload/until-stop.h
tests_preload_transfers_CFLAGS = $(AM_CFLAGS) -pthread
tests_preload_waits_SOURCES = tests/preload/waits.c tests/preload/guarded-stack.h tests/preload/until-stop.h
tests_preload_waits_CFLAGS = $(AM_CFLAGS) -pthread
tests_preload_pieces_SOURCES = tests/preload/pieces.c
tests_preload_segv_SOURCES = tests/preload/segv.c
tests_preload_segv_CFLAGS = $(AM_CFLAGS) -pthread -Wno-deprecated-declarations
tests_preload_stats_SOURCES = tests/preload/stats.c
tests_preload_stats_LDADD = libremap.la
tests_preload_stats_LDFLAGS = $(AM_LDFLAGS) -no-install
tests_preload_stats_static_SOURCES = tests/preload/stats.c
tests_preload_stats_static_LDADD = libremap.la
tests_preload_stats_static_LDFLAGS = $(AM_LDFLAGS) -static

# Shared libraries in spite of noinst (-rpath).
noinst_LTLIBRARIES += tests/preload/libother.la tests/preload/libearly.la
tests_preload_libother_la_SOURCES = tests/preload/other.c
tests_preload_libother_la_CFLAGS = -std=gnu11 -Wall -Wextra
tests_preload_libother_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
tests_preload_libearly_la_SOURCES = tests/preload/early.c
tests_preload_libearly_la_CFLAGS = -std=gnu11 -Wall -Wextra
tests_preload_libearly_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere

preload_tests = tests/preload/preload.t tests/preload/known.t tests/preload/transfers.t tests/preload/waits.t tests/preload/pieces.t tests/preload/collector.t \
	tests/preload/mirrors.t tests/preload/relocate.t tests/preload/segv.t tests/preload/execs.t \
	tests/preload/libcs.t
TESTS += $(preload_tests)
EXTRA_DIST += $(preload_tests)
