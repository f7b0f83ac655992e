# Failure of every step and of every system call: programs that speak TAP by themselves and link the engine.
fault_tests = tests/faults/fault-hook tests/faults/fault-syscall tests/faults/fault-mirror
check_PROGRAMS += $(fault_tests)
TESTS += $(fault_tests)
fault_common = tests/faults/faults.h tests/faults/observe.c tests/faults/scenario.c \
	tests/faults/table.c
tests_faults_fault_hook_SOURCES = tests/faults/fault-hook.c $(fault_common)
tests_faults_fault_hook_CFLAGS = $(AM_CFLAGS) -pthread
tests_faults_fault_hook_LDADD = libemul.la -lpthread
fault_inject = tests/faults/inject.h tests/faults/inject.c
tests_faults_fault_syscall_SOURCES = tests/faults/fault-syscall.c $(fault_common) $(fault_inject)
tests_faults_fault_syscall_CFLAGS = $(AM_CFLAGS) -pthread
tests_faults_fault_syscall_LDADD = libemul.la -lpthread
tests_faults_fault_mirror_SOURCES = tests/faults/fault-mirror.c tests/faults/faults.h \
	tests/faults/mirrors.h tests/faults/mirrors.c tests/faults/observe.c $(fault_inject)
tests_faults_fault_mirror_CFLAGS = $(AM_CFLAGS) -pthread
tests_faults_fault_mirror_LDADD = libemul.la -lpthread
