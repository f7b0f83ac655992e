# Unit tests of the engine: cmocka programs that link it statically, so that its rm_ functions are in reach; and the
# shell tests of remap-probe, which is the engine's planner and prober with a face.
if HAVE_CMOCKA
unit_tests = \
	tests/unit/cgroup-paths \
	tests/unit/conf-settings \
	tests/unit/destination-kept \
	tests/unit/facts-collect \
	tests/unit/glance-check \
	tests/unit/known-ranges \
	tests/unit/marks \
	tests/unit/guard-window \
	tests/unit/fill-thread \
	tests/unit/log-format \
	tests/unit/mirror-check \
	tests/unit/mirror-dontneed \
	tests/unit/mirror-prepare \
	tests/unit/neighbour-changes \
	tests/unit/numbers-read \
	tests/unit/placement \
	tests/unit/prepare-cached \
	tests/unit/plan-rules \
	tests/unit/plan-steps \
	tests/unit/procmaps-parse \
	tests/unit/procmaps-read \
	tests/unit/quiesce-odd \
	tests/unit/quiesce-slow \
	tests/unit/quiesce-spawn \
	tests/unit/quiesce-stop \
	tests/unit/quiesce-waits \
	tests/unit/restart-calls \
	tests/unit/task-signals \
	tests/unit/restart-signals \
	tests/unit/restart-leave \
	tests/unit/restart-wait \
	tests/unit/running-races \
	tests/unit/segv-owner \
	tests/unit/setxid-during-stops \
	tests/unit/struct-growth \
	tests/unit/world-lock
check_PROGRAMS += $(unit_tests)
TESTS += $(unit_tests)
unit_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) -pthread
unit_ldadd = libemul.la $(CMOCKA_LIBS) -lpthread
tests_unit_conf_settings_SOURCES = tests/unit/conf-settings.c tests/unit/unit.h
tests_unit_conf_settings_CFLAGS = $(unit_cflags)
tests_unit_conf_settings_LDADD = $(unit_ldadd)
tests_unit_quiesce_slow_SOURCES = tests/unit/quiesce-slow.c tests/unit/unit.h
tests_unit_quiesce_slow_CFLAGS = $(unit_cflags)
tests_unit_quiesce_slow_LDADD = $(unit_ldadd)
tests_unit_neighbour_changes_SOURCES = tests/unit/neighbour-changes.c tests/unit/unit.h
tests_unit_neighbour_changes_CFLAGS = $(unit_cflags)
tests_unit_neighbour_changes_LDADD = $(unit_ldadd)
tests_unit_running_races_SOURCES = tests/unit/running-races.c tests/unit/unit.h
tests_unit_running_races_CFLAGS = $(unit_cflags)
tests_unit_running_races_LDADD = $(unit_ldadd)
tests_unit_destination_kept_SOURCES = tests/unit/destination-kept.c tests/unit/unit.h
tests_unit_destination_kept_CFLAGS = $(unit_cflags)
tests_unit_destination_kept_LDADD = $(unit_ldadd)
tests_unit_glance_check_SOURCES = tests/unit/glance-check.c tests/unit/unit.h
tests_unit_glance_check_CFLAGS = $(unit_cflags)
tests_unit_glance_check_LDADD = $(unit_ldadd)
tests_unit_facts_collect_SOURCES = tests/unit/facts-collect.c tests/unit/unit.h
tests_unit_facts_collect_CFLAGS = $(unit_cflags)
tests_unit_facts_collect_LDADD = $(unit_ldadd)
tests_unit_known_ranges_SOURCES = tests/unit/known-ranges.c tests/unit/unit.h
tests_unit_known_ranges_CFLAGS = $(unit_cflags)
tests_unit_known_ranges_LDADD = $(unit_ldadd)


tests_unit_guard_window_SOURCES = tests/unit/guard-window.c tests/unit/unit.h
tests_unit_guard_window_CFLAGS = $(unit_cflags)
tests_unit_guard_window_LDADD = $(unit_ldadd)

tests_unit_fill_thread_SOURCES = tests/unit/fill-thread.c tests/unit/unit.h
tests_unit_fill_thread_CFLAGS = $(unit_cflags)
tests_unit_fill_thread_LDADD = $(unit_ldadd)
tests_unit_log_format_SOURCES = tests/unit/log-format.c tests/unit/unit.h
tests_unit_log_format_CFLAGS = $(unit_cflags)
tests_unit_log_format_LDADD = $(unit_ldadd)
tests_unit_mirror_check_SOURCES = tests/unit/mirror-check.c tests/unit/unit.h
tests_unit_mirror_check_CFLAGS = $(unit_cflags)
tests_unit_mirror_check_LDADD = $(unit_ldadd)
tests_unit_mirror_dontneed_SOURCES = tests/unit/mirror-dontneed.c tests/unit/unit.h
tests_unit_mirror_dontneed_CFLAGS = $(unit_cflags)
tests_unit_mirror_dontneed_LDADD = $(unit_ldadd)
tests_unit_mirror_prepare_SOURCES = tests/unit/mirror-prepare.c tests/unit/unit.h
tests_unit_mirror_prepare_CFLAGS = $(unit_cflags)
tests_unit_mirror_prepare_LDADD = $(unit_ldadd)
tests_unit_marks_SOURCES = tests/unit/marks.c tests/unit/unit.h
tests_unit_marks_CFLAGS = $(unit_cflags)
tests_unit_marks_LDADD = $(unit_ldadd)
tests_unit_cgroup_paths_SOURCES = tests/unit/cgroup-paths.c tests/unit/unit.h
tests_unit_cgroup_paths_CFLAGS = $(unit_cflags)
tests_unit_cgroup_paths_LDADD = $(unit_ldadd)
tests_unit_numbers_read_SOURCES = tests/unit/numbers-read.c tests/unit/unit.h
tests_unit_numbers_read_CFLAGS = $(unit_cflags)
tests_unit_numbers_read_LDADD = $(unit_ldadd)
tests_unit_placement_SOURCES = tests/unit/placement.c tests/unit/unit.h
tests_unit_placement_CFLAGS = $(unit_cflags)
tests_unit_placement_LDADD = $(unit_ldadd)
tests_unit_prepare_cached_SOURCES = tests/unit/prepare-cached.c tests/unit/unit.h
tests_unit_prepare_cached_CFLAGS = $(unit_cflags)
tests_unit_prepare_cached_LDADD = $(unit_ldadd)

tests_unit_plan_rules_SOURCES = tests/unit/plan-rules.c tests/unit/unit.h
tests_unit_plan_rules_CFLAGS = $(unit_cflags)
tests_unit_plan_rules_LDADD = $(unit_ldadd)
tests_unit_plan_steps_SOURCES = tests/unit/plan-steps.c tests/unit/unit.h
tests_unit_plan_steps_CFLAGS = $(unit_cflags)
tests_unit_plan_steps_LDADD = $(unit_ldadd)
tests_unit_procmaps_parse_SOURCES = tests/unit/procmaps-parse.c tests/unit/unit.h
tests_unit_procmaps_parse_CFLAGS = $(unit_cflags)
tests_unit_procmaps_parse_LDADD = $(unit_ldadd)
tests_unit_procmaps_read_SOURCES = tests/unit/procmaps-read.c tests/unit/unit.h
tests_unit_procmaps_read_CFLAGS = $(unit_cflags)
tests_unit_procmaps_read_LDADD = $(unit_ldadd)
tests_unit_quiesce_odd_SOURCES = tests/unit/quiesce-odd.c tests/unit/unit.h
tests_unit_quiesce_odd_CFLAGS = $(unit_cflags)
tests_unit_quiesce_odd_LDADD = $(unit_ldadd)

tests_unit_quiesce_spawn_SOURCES = tests/unit/quiesce-spawn.c tests/unit/unit.h
tests_unit_quiesce_spawn_CFLAGS = $(unit_cflags)
tests_unit_quiesce_spawn_LDADD = $(unit_ldadd)
tests_unit_quiesce_stop_SOURCES = tests/unit/quiesce-stop.c tests/unit/unit.h
tests_unit_quiesce_stop_CFLAGS = $(unit_cflags)
tests_unit_quiesce_stop_LDADD = $(unit_ldadd)
tests_unit_quiesce_waits_SOURCES = tests/unit/quiesce-waits.c tests/unit/unit.h
tests_unit_quiesce_waits_CFLAGS = $(unit_cflags)
tests_unit_quiesce_waits_LDADD = $(unit_ldadd)
tests_unit_task_signals_SOURCES = tests/unit/task-signals.c tests/unit/unit.h
tests_unit_task_signals_CFLAGS = $(unit_cflags)
tests_unit_task_signals_LDADD = $(unit_ldadd)
tests_unit_restart_calls_SOURCES = tests/unit/restart-calls.c tests/unit/unit.h
tests_unit_restart_calls_CFLAGS = $(unit_cflags)
tests_unit_restart_calls_LDADD = $(unit_ldadd)
tests_unit_restart_signals_SOURCES = tests/unit/restart-signals.c tests/unit/unit.h
tests_unit_restart_signals_CFLAGS = $(unit_cflags)
tests_unit_restart_signals_LDADD = $(unit_ldadd)
tests_unit_restart_leave_SOURCES = tests/unit/restart-leave.c tests/unit/unit.h
tests_unit_restart_leave_CFLAGS = $(unit_cflags)
tests_unit_restart_leave_LDADD = $(unit_ldadd)
tests_unit_restart_wait_SOURCES = tests/unit/restart-wait.c tests/unit/unit.h
tests_unit_restart_wait_CFLAGS = $(unit_cflags)
tests_unit_restart_wait_LDADD = $(unit_ldadd)
tests_unit_segv_owner_SOURCES = tests/unit/segv-owner.c tests/unit/unit.h
tests_unit_segv_owner_CFLAGS = $(unit_cflags)
tests_unit_segv_owner_LDADD = $(unit_ldadd)
tests_unit_setxid_during_stops_SOURCES = tests/unit/setxid-during-stops.c tests/unit/unit.h
tests_unit_setxid_during_stops_CFLAGS = $(unit_cflags)
tests_unit_setxid_during_stops_LDADD = $(unit_ldadd)
tests_unit_struct_growth_SOURCES = tests/unit/struct-growth.c tests/unit/unit.h
tests_unit_struct_growth_CFLAGS = $(unit_cflags)
tests_unit_struct_growth_LDADD = $(unit_ldadd)
tests_unit_world_lock_SOURCES = tests/unit/world-lock.c tests/unit/unit.h
tests_unit_world_lock_CFLAGS = $(unit_cflags)
tests_unit_world_lock_LDADD = $(unit_ldadd)
endif

remap_probe_tests = \
	tests/tools/remap-probe.t \
	tests/tools/remap-probe-explain.t
TESTS += $(remap_probe_tests)
EXTRA_DIST += $(remap_probe_tests)
