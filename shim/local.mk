# The preload: libc's names, over the engine. It exports remap_ too, so that a program linked with libremap.so and
# run under the preload has one engine, not two.
lib_LTLIBRARIES += libremap-preload.la
libremap_preload_la_SOURCES = shim/exec.c shim/init.c shim/mremap.c shim/next.c shim/next.h shim/poison.h shim/shim.h \
	shim/next-signals.c shim/next-signals.h shim/signals.c shim/sockets.c shim/syscall.S shim/waits.c shim/watch.c
libremap_preload_la_LIBADD = libemul.la
libremap_preload_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -Wl,-z,now \
	-Wl,--version-script=$(srcdir)/shim/preload.map
libremap_preload_la_DEPENDENCIES = libemul.la shim/preload.map
EXTRA_DIST += shim/preload.map
