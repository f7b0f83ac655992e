# Real kernels: what goes into the guest, and the run. See tests/vm/README.md.
EXTRA_DIST += tests/vm/.shellcheckrc tests/vm/README.md tests/vm/boot tests/vm/check-vm tests/vm/demo.sh tests/vm/fetch-kernel tests/vm/fetch-libc \
	tests/vm/guest-init tests/vm/guest-run tests/vm/kernel-log.awk tests/vm/lib.sh tests/vm/list.sh \
	tests/vm/mkinitramfs tests/vm/packages tests/vm/run-in tests/vm/selftest.t tests/vm/stage tests/vm/tap.awk
TESTS += tests/vm/selftest.t

# make stage STAGE=DIR: a guest's root in DIR, with the tools, the libraries and all test programs in /opt/libremap
# Programs are not made beside "all", which is a make of its own: the two would make libemul.la at once.
stage: all
	@$(MAKE) $(AM_MAKEFLAGS) $(check_PROGRAMS) $(noinst_PROGRAMS)
	$(SHELL) $(srcdir)/tests/vm/stage '$(abs_top_builddir)' '$(abs_top_srcdir)' '$(STAGE)' \
		$(check_PROGRAMS) $(noinst_PROGRAMS)

# The same without the tests, for ./dev run.
stage-demo: all
	$(SHELL) $(srcdir)/tests/vm/stage '$(abs_top_builddir)' '$(abs_top_srcdir)' '$(STAGE)' $(noinst_PROGRAMS)

VM_KERNELS = 5.10 6.1 6.12 7.2
check-vm:
	rm -rf vm-stage && mkdir vm-stage
	$(MAKE) -s stage STAGE='$(abs_builddir)/vm-stage'
	$(srcdir)/tests/vm/check-vm --staging vm-stage --kernels '$(VM_KERNELS)' $(VM_FLAGS)

# The preload beside newer C libraries than this machine's, and built with an older one and with musl; one that cannot be had is
# left out, and says so.
LIBC_SUITES = trixie sid
OLD_LIBC_SUITE = bullseye
check-libc:
	$(MAKE) check TESTS='tests/preload/libcs.t' \
		RM_LIBCS="$$(for suite in $(LIBC_SUITES); do $(srcdir)/tests/vm/fetch-libc $$suite || :; done | tr '\n' ' ')" \
		RM_OLD_LIBC="$$($(srcdir)/tests/vm/fetch-libc --dev $(OLD_LIBC_SUITE) || :)"
.PHONY: stage stage-demo check-vm check-libc
