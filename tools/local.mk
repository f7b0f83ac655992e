# For people: remap-probe tells, remap-run runs.
bin_PROGRAMS += remap-probe remap-run

remap_probe_SOURCES = tools/remap-probe.c tools/explain.c tools/explain.h
remap_probe_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
remap_probe_LDADD = libemul.la $(JANSSON_LIBS)

remap_run_SOURCES = \
	tools/errname.c tools/errname.h tools/remap-run.c tools/run.h tools/run-conf.c tools/run-preload.c \
	tools/pretend.c tools/pretend.h tools/pretend-table.c \
	tools/pretend-notify.c tools/pretend-mremap.c tools/pretend-uffd.c
remap_run_CPPFLAGS = $(AM_CPPFLAGS) -DPRELOADDIR='"$(preloaddir)"'
remap_run_CFLAGS = $(AM_CFLAGS) $(SECCOMP_CFLAGS)
remap_run_LDADD = libemul.la $(SECCOMP_LIBS)
