# Examples: programs to learn from. They use libc only, and run natively or under remap-run.
noinst_PROGRAMS += examples/collector
examples_collector_SOURCES = examples/collector.c
examples_collector_CFLAGS = $(AM_CFLAGS) -pthread
