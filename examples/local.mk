# Examples: programs to learn from. They use libc only, and run natively or under remap-run.
noinst_PROGRAMS += examples/collector
examples_collector_SOURCES = examples/collector.c
examples_collector_CFLAGS = $(AM_CFLAGS) -pthread
noinst_PROGRAMS += examples/ring
examples_ring_SOURCES = examples/ring.c
examples_ring_CFLAGS = $(AM_CFLAGS) -pthread
noinst_PROGRAMS += examples/colours
examples_colours_SOURCES = examples/colours.c
examples_colours_CFLAGS = $(AM_CFLAGS) -pthread
noinst_PROGRAMS += examples/relocate
examples_relocate_SOURCES = examples/relocate.c
