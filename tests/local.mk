# Tests, one folder a kind. Programs speak TAP by themselves (cmocka) or are shell scripts that do.
TEST_EXTENSIONS = .t .behave
LOG_DRIVER = $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
T_LOG_DRIVER = $(LOG_DRIVER)
BEHAVE_LOG_DRIVER = $(LOG_DRIVER)
T_LOG_COMPILER = $(SHELL)
AM_TESTS_ENVIRONMENT = \
	abs_top_builddir='$(abs_top_builddir)'; export abs_top_builddir; \
	abs_top_srcdir='$(abs_top_srcdir)'; export abs_top_srcdir; \
	srcdir='$(srcdir)'; export srcdir; \
	CMOCKA_MESSAGE_OUTPUT=TAP; export CMOCKA_MESSAGE_OUTPUT;
EXTRA_DIST += tests/tap.sh

include tests/stress/local.mk
include tests/tools/local.mk
include tests/oracle/local.mk
include tests/vm/local.mk
include tests/unit/local.mk
include tests/behave/local.mk
