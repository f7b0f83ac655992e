# The engine: libremap.so and a PIC libremap.a. Only libc.
noinst_LTLIBRARIES += libemul.la
libemul_la_SOURCES = \
	emul/again.c emul/again.h \
	emul/api.c emul/api.h \
	emul/attributes.c emul/attributes.h \
	emul/born.c emul/born.h \
	emul/call.c emul/call.h \
	emul/call-code.c emul/call-code.h \
	emul/call-number.c emul/call-number.h \
	emul/cgroup.c emul/cgroup.h \
	emul/clone.h \
	emul/conf.c emul/conf.h \
	emul/convert.c emul/convert.h \
	emul/converted.c emul/converted.h \
	emul/copy.c emul/copy.h \
	emul/describe.c \
	emul/dontneed.c emul/dontneed.h \
	emul/exec.c emul/exec.h \
	emul/facts.c emul/facts.h \
	emul/deadline.c emul/deadline.h \
	emul/due.c emul/due.h \
	emul/features.c emul/features.h \
	emul/fd.c emul/fd.h \
	emul/file.c emul/file.h \
	emul/fill.c emul/fill.h emul/fill-content.c emul/fill-own.h \
	emul/forked.c emul/forked.h \
	emul/freeze.c emul/freeze.h \
	emul/glance.c emul/glance.h \
	emul/grow.c emul/grow.h \
	emul/guard.c emul/guard.h \
	emul/handler-wait.c emul/handler-wait.h \
	emul/hugetlb.c emul/hugetlb.h \
	emul/ignored.c emul/ignored.h \
	emul/known.c emul/known.h \
	emul/leave.c emul/leave.h \
	emul/log.c emul/log.h \
	emul/mirror.c emul/mirror.h \
	emul/relocate.c emul/relocate.h \
	emul/timed.c emul/timed.h \
	emul/transfer.c emul/transfer.h emul/undo.c \
	emul/move.c emul/move.h \
	emul/mover.c emul/mover.h emul/apart.c emul/apart.h \
	emul/scars.c emul/scars.h \
	emul/numbers.c emul/numbers.h emul/once.h \
	emul/obey.c emul/obey.h \
	emul/origins.c emul/origins.h \
	emul/pagemap.c emul/pagemap.h \
	emul/part.c emul/part.h emul/partial.c emul/partial.h \
	emul/plan.c emul/plan.h emul/plan-parts.h emul/plan-relocate.c emul/plan-twin.c \
	emul/populate.c emul/populate.h \
	emul/present.c emul/present.h \
	emul/procmaps.c emul/procmaps.h \
	emul/quiesce.c emul/quiesce.h \
	emul/rejoin.c emul/rejoin.h \
	emul/restart.c emul/restart.h \
	emul/segv.c emul/segv.h \
	emul/sockopt.c emul/sockopt.h \
	emul/stats.c emul/stats.h \
	emul/straight.c emul/straight.h \
	emul/steps.c emul/steps.h \
	emul/strays.c emul/strays.h \
	emul/ballast.c emul/ballast.h emul/charges.c emul/charges.h emul/counted.c emul/counted.h \
	emul/marks.c emul/marks.h \
	emul/stub.S emul/sys.h emul/types.h \
	emul/task.c emul/task.h \
	emul/uffd.c emul/uffd.h \
	emul/went.c emul/went.h \
	emul/world.c emul/world.h

lib_LTLIBRARIES += libremap.la
libremap_la_SOURCES =
libremap_la_LIBADD = libemul.la
libremap_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 \
	-Wl,--version-script=$(srcdir)/emul/libremap.map
libremap_la_DEPENDENCIES = libemul.la emul/libremap.map
EXTRA_DIST += emul/libremap.map
