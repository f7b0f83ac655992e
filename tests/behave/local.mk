# Behaviours: one program a subject, run in every configuration by run-configs. The same source is built twice:
# NAME.behave calls libc's mremap, NAME-linked calls libremap.a's.
BEHAVE_LOG_COMPILER = $(SHELL) $(srcdir)/tests/behave/run-configs
EXTRA_DIST += tests/behave/open tests/behave/run-configs

if HAVE_CMOCKA
behave_common = tests/behave/behave.c tests/behave/look.c tests/behave/behave.h
uffd_files = tests/behave/uffd.c tests/behave/uffd.h
uffd_common = $(behave_common) $(uffd_files)
relocate_common = $(behave_common) tests/behave/relocate.h
mirror_common = $(behave_common) tests/behave/mirror.h
swap_common = $(mirror_common) tests/behave/swap.c tests/behave/swap.h
behave_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) -pthread
behave_linked_cflags = $(behave_cflags) -Dmremap=remap_mremap -DBEHAVE_LINKED

behave_programs = \
	tests/behave/advice.behave \
	tests/behave/beside.behave \
	tests/behave/siblings.behave \
	tests/behave/calls.behave \
	tests/behave/errno.behave \
	tests/behave/limits.behave \
	tests/behave/locked.behave \
	tests/behave/mirror-errno.behave \
	tests/behave/mirror-shared.behave \
	tests/behave/mirror-hugetlb.behave \
	tests/behave/mirror-private.behave \
	tests/behave/monitor-moves.behave \
	tests/behave/parts.behave \
	tests/behave/mirror-fork.behave \
	tests/behave/mirror-life.behave \
	tests/behave/mirror-lazy.behave \
	tests/behave/mirror-meanwhile.behave \
	tests/behave/mirror-memory.behave \
	tests/behave/mirror-swap.behave \
	tests/behave/mirror-seen.behave \
	tests/behave/mirror-watched.behave \
	tests/behave/placement.behave \
	tests/behave/private-anonymous.behave \
	tests/behave/relocate-calls.behave \
	tests/behave/relocate-life.behave \
	tests/behave/relocate-merge.behave \
	tests/behave/private-file.behave \
	tests/behave/process.behave \
	tests/behave/shared.behave \
	tests/behave/tiles.behave \
	tests/behave/userfaultfd.behave \
	tests/behave/userfaultfd-events.behave
behave_linked = \
	tests/behave/advice-linked \
	tests/behave/beside-linked \
	tests/behave/siblings-linked \
	tests/behave/calls-linked \
	tests/behave/errno-linked \
	tests/behave/limits-linked \
	tests/behave/locked-linked \
	tests/behave/mirror-errno-linked \
	tests/behave/mirror-shared-linked \
	tests/behave/mirror-hugetlb-linked \
	tests/behave/mirror-private-linked \
	tests/behave/monitor-moves-linked \
	tests/behave/parts-linked \
	tests/behave/mirror-fork-linked \
	tests/behave/mirror-life-linked \
	tests/behave/mirror-lazy-linked \
	tests/behave/mirror-meanwhile-linked \
	tests/behave/mirror-memory-linked \
	tests/behave/mirror-swap-linked \
	tests/behave/mirror-seen-linked \
	tests/behave/mirror-watched-linked \
	tests/behave/placement-linked \
	tests/behave/private-anonymous-linked \
	tests/behave/relocate-calls-linked \
	tests/behave/relocate-life-linked \
	tests/behave/relocate-merge-linked \
	tests/behave/private-file-linked \
	tests/behave/process-linked \
	tests/behave/shared-linked \
	tests/behave/tiles-linked \
	tests/behave/userfaultfd-linked \
	tests/behave/userfaultfd-events-linked
check_PROGRAMS += $(behave_programs) $(behave_linked)
TESTS += $(behave_programs)

tests_behave_advice_behave_SOURCES = tests/behave/advice.c $(behave_common)
tests_behave_advice_behave_CFLAGS = $(behave_cflags)
tests_behave_advice_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_advice_linked_SOURCES = tests/behave/advice.c $(behave_common)
tests_behave_advice_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_advice_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_advice_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_beside_behave_SOURCES = tests/behave/beside.c $(behave_common)
tests_behave_beside_behave_CFLAGS = $(behave_cflags)
tests_behave_beside_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_beside_linked_SOURCES = tests/behave/beside.c $(behave_common)
tests_behave_beside_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_beside_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_beside_linked_LDADD = libremap.la $(CMOCKA_LIBS)
tests_behave_siblings_behave_SOURCES = tests/behave/siblings.c $(behave_common)
tests_behave_siblings_behave_CFLAGS = $(behave_cflags)
tests_behave_siblings_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_siblings_linked_SOURCES = tests/behave/siblings.c $(behave_common)
tests_behave_siblings_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_siblings_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_siblings_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_calls_behave_SOURCES = tests/behave/calls.c $(behave_common)
tests_behave_calls_behave_CFLAGS = $(behave_cflags)
tests_behave_calls_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_calls_linked_SOURCES = tests/behave/calls.c $(behave_common)
tests_behave_calls_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_calls_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_calls_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_errno_behave_SOURCES = tests/behave/errno.c $(behave_common)
tests_behave_errno_behave_CFLAGS = $(behave_cflags)
tests_behave_errno_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_errno_linked_SOURCES = tests/behave/errno.c $(behave_common)
tests_behave_errno_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_errno_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_errno_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_limits_behave_SOURCES = tests/behave/limits.c $(behave_common)
tests_behave_limits_behave_CFLAGS = $(behave_cflags)
tests_behave_limits_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_limits_linked_SOURCES = tests/behave/limits.c $(behave_common)
tests_behave_limits_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_limits_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_limits_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_locked_behave_SOURCES = tests/behave/locked.c $(behave_common)
tests_behave_locked_behave_CFLAGS = $(behave_cflags)
tests_behave_locked_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_locked_linked_SOURCES = tests/behave/locked.c $(behave_common)
tests_behave_locked_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_locked_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_locked_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_mirror_errno_behave_SOURCES = tests/behave/mirror-errno.c $(mirror_common) $(uffd_files)
tests_behave_mirror_errno_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_errno_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_errno_linked_SOURCES = tests/behave/mirror-errno.c $(mirror_common) $(uffd_files)
tests_behave_mirror_errno_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_errno_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_errno_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_mirror_watched_behave_SOURCES = tests/behave/mirror-watched.c $(mirror_common) $(uffd_files)
tests_behave_mirror_watched_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_watched_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_watched_linked_SOURCES = tests/behave/mirror-watched.c $(mirror_common) $(uffd_files)
tests_behave_mirror_watched_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_watched_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_watched_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_mirror_shared_behave_SOURCES = tests/behave/mirror-shared.c $(mirror_common)
tests_behave_mirror_shared_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_shared_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_shared_linked_SOURCES = tests/behave/mirror-shared.c $(mirror_common)
tests_behave_mirror_shared_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_shared_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_shared_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_mirror_hugetlb_behave_SOURCES = tests/behave/mirror-hugetlb.c $(mirror_common)
tests_behave_mirror_hugetlb_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_hugetlb_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_hugetlb_linked_SOURCES = tests/behave/mirror-hugetlb.c $(mirror_common)
tests_behave_mirror_hugetlb_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_hugetlb_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_hugetlb_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_mirror_private_behave_SOURCES = tests/behave/mirror-private.c $(mirror_common)
tests_behave_mirror_private_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_private_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_private_linked_SOURCES = tests/behave/mirror-private.c $(mirror_common)
tests_behave_mirror_private_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_private_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_private_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_monitor_moves_behave_SOURCES = tests/behave/monitor-moves.c $(behave_common)
tests_behave_monitor_moves_behave_CFLAGS = $(behave_cflags)
tests_behave_monitor_moves_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_monitor_moves_linked_SOURCES = tests/behave/monitor-moves.c $(behave_common)
tests_behave_monitor_moves_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_monitor_moves_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_monitor_moves_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_mirror_fork_behave_SOURCES = tests/behave/mirror-fork.c $(mirror_common)
tests_behave_mirror_fork_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_fork_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_fork_linked_SOURCES = tests/behave/mirror-fork.c $(mirror_common)
tests_behave_mirror_fork_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_fork_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_fork_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_mirror_life_behave_SOURCES = tests/behave/mirror-life.c $(mirror_common)
tests_behave_mirror_life_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_life_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_life_linked_SOURCES = tests/behave/mirror-life.c $(mirror_common)
tests_behave_mirror_life_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_life_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_life_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_mirror_lazy_behave_SOURCES = tests/behave/mirror-lazy.c $(mirror_common)
tests_behave_mirror_lazy_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_lazy_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_lazy_linked_SOURCES = tests/behave/mirror-lazy.c $(mirror_common)
tests_behave_mirror_lazy_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_lazy_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_lazy_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_mirror_meanwhile_behave_SOURCES = tests/behave/mirror-meanwhile.c $(mirror_common)
tests_behave_mirror_meanwhile_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_meanwhile_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_meanwhile_linked_SOURCES = tests/behave/mirror-meanwhile.c $(mirror_common)
tests_behave_mirror_meanwhile_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_meanwhile_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_meanwhile_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_mirror_memory_behave_SOURCES = tests/behave/mirror-memory.c $(swap_common)
tests_behave_mirror_memory_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_memory_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_memory_linked_SOURCES = tests/behave/mirror-memory.c $(swap_common)
tests_behave_mirror_memory_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_memory_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_memory_linked_LDADD = libremap.la $(CMOCKA_LIBS)
tests_behave_mirror_swap_behave_SOURCES = tests/behave/mirror-swap.c $(swap_common)
tests_behave_mirror_swap_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_swap_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_swap_linked_SOURCES = tests/behave/mirror-swap.c $(swap_common)
tests_behave_mirror_swap_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_swap_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_swap_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_mirror_seen_behave_SOURCES = tests/behave/mirror-seen.c $(mirror_common)
tests_behave_mirror_seen_behave_CFLAGS = $(behave_cflags)
tests_behave_mirror_seen_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_mirror_seen_linked_SOURCES = tests/behave/mirror-seen.c $(mirror_common)
tests_behave_mirror_seen_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_mirror_seen_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_mirror_seen_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_parts_behave_SOURCES = tests/behave/parts.c $(behave_common)
tests_behave_parts_behave_CFLAGS = $(behave_cflags)
tests_behave_parts_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_parts_linked_SOURCES = tests/behave/parts.c $(behave_common)
tests_behave_parts_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_parts_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_parts_linked_LDADD = libremap.la $(CMOCKA_LIBS)
tests_behave_tiles_behave_SOURCES = tests/behave/tiles.c $(behave_common)
tests_behave_tiles_behave_CFLAGS = $(behave_cflags)
tests_behave_tiles_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_tiles_linked_SOURCES = tests/behave/tiles.c $(behave_common)
tests_behave_tiles_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_tiles_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_tiles_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_placement_behave_SOURCES = tests/behave/placement.c $(behave_common)
tests_behave_placement_behave_CFLAGS = $(behave_cflags)
tests_behave_placement_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_placement_linked_SOURCES = tests/behave/placement.c $(behave_common)
tests_behave_placement_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_placement_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_placement_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_private_anonymous_behave_SOURCES = tests/behave/private-anonymous.c $(behave_common)
tests_behave_private_anonymous_behave_CFLAGS = $(behave_cflags)
tests_behave_private_anonymous_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_private_anonymous_linked_SOURCES = tests/behave/private-anonymous.c $(behave_common)
tests_behave_private_anonymous_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_private_anonymous_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_private_anonymous_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_private_file_behave_SOURCES = tests/behave/private-file.c $(behave_common)
tests_behave_private_file_behave_CFLAGS = $(behave_cflags)
tests_behave_private_file_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_private_file_linked_SOURCES = tests/behave/private-file.c $(behave_common)
tests_behave_private_file_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_private_file_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_private_file_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_process_behave_SOURCES = tests/behave/process.c $(behave_common)
tests_behave_process_behave_CFLAGS = $(behave_cflags)
tests_behave_process_behave_LDADD = $(CMOCKA_LIBS) -lrt
tests_behave_process_linked_SOURCES = tests/behave/process.c $(behave_common)
tests_behave_process_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_process_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_process_linked_LDADD = libremap.la $(CMOCKA_LIBS) -lrt

tests_behave_shared_behave_SOURCES = tests/behave/shared.c $(behave_common)
tests_behave_shared_behave_CFLAGS = $(behave_cflags)
tests_behave_shared_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_shared_linked_SOURCES = tests/behave/shared.c $(behave_common)
tests_behave_shared_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_shared_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_shared_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_userfaultfd_behave_SOURCES = tests/behave/userfaultfd.c $(uffd_common)
tests_behave_userfaultfd_behave_CFLAGS = $(behave_cflags)
tests_behave_userfaultfd_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_userfaultfd_linked_SOURCES = tests/behave/userfaultfd.c $(uffd_common)
tests_behave_userfaultfd_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_userfaultfd_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_userfaultfd_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_userfaultfd_events_behave_SOURCES = tests/behave/userfaultfd-events.c $(uffd_common)
tests_behave_userfaultfd_events_behave_CFLAGS = $(behave_cflags)
tests_behave_userfaultfd_events_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_userfaultfd_events_linked_SOURCES = tests/behave/userfaultfd-events.c $(uffd_common)
tests_behave_userfaultfd_events_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_userfaultfd_events_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_userfaultfd_events_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_relocate_calls_behave_SOURCES = tests/behave/relocate-calls.c $(relocate_common)
tests_behave_relocate_calls_behave_CFLAGS = $(behave_cflags)
tests_behave_relocate_calls_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_relocate_calls_linked_SOURCES = tests/behave/relocate-calls.c $(relocate_common)
tests_behave_relocate_calls_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_relocate_calls_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_relocate_calls_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_relocate_life_behave_SOURCES = tests/behave/relocate-life.c $(relocate_common)
tests_behave_relocate_life_behave_CFLAGS = $(behave_cflags)
tests_behave_relocate_life_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_relocate_life_linked_SOURCES = tests/behave/relocate-life.c $(relocate_common)
tests_behave_relocate_life_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_relocate_life_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_relocate_life_linked_LDADD = libremap.la $(CMOCKA_LIBS)

tests_behave_relocate_merge_behave_SOURCES = tests/behave/relocate-merge.c $(relocate_common)
tests_behave_relocate_merge_behave_CFLAGS = $(behave_cflags)
tests_behave_relocate_merge_behave_LDADD = $(CMOCKA_LIBS)
tests_behave_relocate_merge_linked_SOURCES = tests/behave/relocate-merge.c $(relocate_common)
tests_behave_relocate_merge_linked_CFLAGS = $(behave_linked_cflags)
tests_behave_relocate_merge_linked_LDFLAGS = $(AM_LDFLAGS) -static
tests_behave_relocate_merge_linked_LDADD = libremap.la $(CMOCKA_LIBS)
endif
