# Tests of the tools: shell scripts that speak TAP, and what they run. Needs T_LOG_DRIVER for .t (tests/local.mk).
check_PROGRAMS += tests/tools/kernel-probe tests/tools/make-elf tests/tools/pretend-workout \
	tests/tools/pretend-rows
tests_tools_kernel_probe_SOURCES = tests/tools/kernel-probe.c tests/tools/kernel-probe.h \
	tests/tools/kernel-probe-mem.c tests/tools/kernel-probe-uffd.c tools/errname.c tools/errname.h
tests_tools_make_elf_SOURCES = tests/tools/make-elf.c
tests_tools_pretend_workout_SOURCES = tests/tools/pretend-workout.c
tests_tools_pretend_workout_LDADD = -lpthread
tests_tools_pretend_rows_SOURCES = tests/tools/pretend-rows.c tools/errname.c tools/errname.h \
	tools/pretend-table.c tools/pretend.h

# A shared library in spite of noinst (-rpath), and without sanitizers: it is preloaded into programs that have none.
noinst_LTLIBRARIES += tests/tools/libstub-preload.la
tests_tools_libstub_preload_la_SOURCES = tests/tools/stub-preload.c
tests_tools_libstub_preload_la_CFLAGS = -std=gnu11
tests_tools_libstub_preload_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere

remap_run_tests = \
	tests/tools/remap-run-usage.t \
	tests/tools/remap-run-exec.t \
	tests/tools/remap-run-conf.t \
	tests/tools/remap-run-preload.t \
	tests/tools/remap-run-pretend.t \
	tests/tools/remap-run-server.t
TESTS += $(remap_run_tests)
EXTRA_DIST += $(remap_run_tests) tests/tools/remap-run.sh \
	tests/tools/kernel-answers.tsv tests/tools/kernel-answers.blind
