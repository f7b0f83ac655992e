# Tests, one folder a kind. Programs speak TAP by themselves (cmocka) or are shell scripts that do.
TEST_EXTENSIONS = .t .behave
LOG_DRIVER = $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
T_LOG_DRIVER = $(LOG_DRIVER)
BEHAVE_LOG_DRIVER = $(LOG_DRIVER)
LOG_COMPILER = $(SHELL) $(top_srcdir)/tests/tap-run
T_LOG_COMPILER = $(LOG_COMPILER) $(SHELL)
AM_TESTS_ENVIRONMENT = \
	abs_top_builddir='$(abs_top_builddir)'; export abs_top_builddir; \
	abs_top_srcdir='$(abs_top_srcdir)'; export abs_top_srcdir; \
	srcdir='$(srcdir)'; export srcdir; \
	CMOCKA_MESSAGE_OUTPUT=TAP; export CMOCKA_MESSAGE_OUTPUT;
EXTRA_DIST += tests/tap.sh tests/tap-run tests/tap-run.t
TESTS += tests/tap-run.t

include tests/beside/local.mk
include tests/stress/local.mk
include tests/tools/local.mk
include tests/oracle/local.mk
include tests/vm/local.mk
include tests/unit/local.mk
include tests/behave/local.mk
include tests/preload/local.mk
include tests/faults/local.mk
include tests/bench/local.mk

# What needs root, huge pages or userfaultfd for all its cases: run as root, with none skipped for want of it. One test takes
# half of the huge pages and one more; what runs beside it needs fewer than the rest.
root_tests = $(behave_programs) $(unit_tests) $(fault_tests) $(remap_run_tests)
check-root:
	@test "$$(id -u)" = 0 || { echo 'check-root: only root can run this'; exit 1; }
	@before=$$(cat /proc/sys/vm/nr_hugepages); \
	test $$before -ge 32 || echo 32 >/proc/sys/vm/nr_hugepages; \
	$(MAKE) check TESTS='$(root_tests)'; status=$$?; \
	echo $$before >/proc/sys/vm/nr_hugepages; \
	if grep -hiE '^SKIP.*(root|privilege|permi|capab|huge page)' $(root_tests:=.log) 2>/dev/null; then \
		echo 'check-root: these were skipped for want of a privilege'; exit 1; \
	fi; \
	exit $$status

# What an AddressSanitizer build can run: the programs that link the engine. The preload does not go with it, nor does guard
# mode, which counts on SIGSEGV and on the order of mappings, and the sanitizer has its own ideas of both.
check-sanitized:
	$(MAKE) check TESTS='$(filter-out tests/unit/guard-window tests/unit/segv-owner,$(unit_tests)) $(fault_tests) $(remap_probe_tests)'
.PHONY: check-root check-sanitized
