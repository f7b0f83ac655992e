/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/task/TID/stat: state, flags and blocked signals of one thread.
 *
 * stat and not status, because it is the cheaper of the two, and what it leaves out (the signals
 * above 31) nobody asks for here. "pid (comm) state ppid ...": comm may hold anything, blanks and
 * parentheses too, so counting begins behind the last parenthesis. Raw system calls only, no
 * allocation, no lock.
 */
#include "emul/task.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "emul/apart.h"
#include "emul/log.h"
#include "emul/sys.h"

/*
 * Words behind the state, counted from it (proc(5) numbers them from 1 at the pid, the state is 3).
 */
enum { FIELD_FLAGS = 9 - 3, FIELD_BLOCKED = 32 - 3 };

/*
 * Kernel: include/linux/sched.h. PF_IO_WORKER was PF_VCPU's bit before 5.12, hence the look at the
 * name as well.
 */
enum { PF_IO_WORKER = 0x10, PF_USER_WORKER = 0x4000 };

static unsigned long field(const char *p, int index)
{
	unsigned long value = 0;

	for (; *p && index; p++)
		index -= *p == ' ';
	for (; *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (unsigned long)(*p - '0');
	return value;
}

int rm_task_read_of(int pid, int tid, struct rm_task *task)
{
	char path[64], stat[512], *p, *name, *last = NULL;
	long fd, got;

	if (pid)
		rm_format(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	else
		rm_format(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = rm_sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return (int)fd;
	got = rm_sys_read((int)fd, stat, sizeof(stat) - 1);
	rm_sys_close((int)fd);
	if (got < 0)
		return (int)got;
	stat[got] = '\0';
	name = strchr(stat, '(');
	for (p = stat; *p; p++)
		if (*p == ')')
			last = p;
	if (!name || !last || last[1] != ' ')
		return -EINVAL;
	p = last + 2;
	task->state = *p;
	task->kernel_worker = (field(p, FIELD_FLAGS) & (PF_IO_WORKER | PF_USER_WORKER)) &&
			      (!strncmp(name, "(iou-", 5) || !strncmp(name, "(vhost-", 7));
	task->blocked = (uint32_t)field(p, FIELD_BLOCKED);
	return 0;
}

int rm_task_read(int tid, struct rm_task *task)
{
	return rm_task_read_of(0, tid, task);
}

bool rm_task_signals(const char *status, const char *line, uint64_t *signals)
{
	const size_t len = strlen(line);

	for (status = strchr(status, '\n'); status; status = strchr(status + 1, '\n'))
		if (!strncmp(status + 1, line, len) && !strncmp(status + 1 + len, ":\t", 2))
			break;
	if (!status)
		return false;
	*signals = 0;
	for (status += 1 + len + 2; *status && *status != '\n'; status++)
		*signals = *signals << 4 |
			   (uint64_t)(*status <= '9' ? *status - '0' : *status - 'a' + 10);
	return true;
}

/*
 * The kernel walks its list from thread to thread without holding it (proc_task_readdir(),
 * next_tid()). A thread that exits while it is being listed loses its number, and kernels before
 * 5.19 list it as "0". All of them end the list there, so who is behind it is left out: a list is
 * whole only if it has as many threads as there were before it was read.
 */
int rm_task_next(struct rm_numbers *tasks, int *tid)
{
	int r;

	if (tasks->dir < 0 && tasks->at >= tasks->filled)
		return 0;
	do
		r = rm_numbers_next(tasks, tid);
	while (r > 0 && !*tid);
	return r;
}

int rm_task_open(struct rm_world *world, struct rm_numbers *tasks)
{
	const int r = rm_numbers_open(
		tasks, "/proc/self/task", world->dirents, sizeof(world->dirents));

	if (r != -EMFILE)
		return r;
	rm_task_open_apart(world, tasks);
	return 0;
}

void rm_task_open_apart(struct rm_world *world, struct rm_numbers *tasks)
{
	*tasks = (struct rm_numbers){
		.dir = -1, .buf = world->dirents, .size = sizeof(world->dirents)};
}

struct listing {
	struct rm_numbers *tasks;
	char path[40];
};

/* By a process that is not the one whose threads are listed. All of them, or -EMFILE. */
static long list_apart(void *argument)
{
	const struct listing *listing = argument;
	const struct rm_numbers *tasks = listing->tasks;
	char more[256];
	long dir, filled;

	dir = rm_sys_open(listing->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (dir < 0)
		return dir;
	filled = rm_sys_getdents64((int)dir, tasks->buf, tasks->size);
	if (filled >= 0 && rm_sys_getdents64((int)dir, more, sizeof(more)))
		filled = -EMFILE;
	rm_sys_close((int)dir);
	return filled;
}

int rm_task_rewind(struct rm_world *world, struct rm_numbers *tasks)
{
	struct listing listing = {.tasks = tasks};
	char self[16];
	long got;

	if (tasks->dir >= 0)
		return rm_numbers_rewind(tasks);
	/* our number as this /proc has it, which may be another namespace's */
	got = rm_sys_readlinkat(AT_FDCWD, "/proc/self", self, sizeof(self) - 1);
	if (got <= 0)
		return got < 0 ? (int)got : -EMFILE;
	self[got] = '\0';
	rm_format(listing.path, sizeof(listing.path), "/proc/%s/task", self);
	tasks->at = 0;
	tasks->filled = rm_apart(world, list_apart, &listing);
	return tasks->filled < 0 ? (int)tasks->filled : 0;
}

void rm_task_close(struct rm_numbers *tasks)
{
	if (tasks->dir >= 0)
		rm_numbers_close(tasks);
}

int rm_task_count_of(const struct rm_numbers *tasks)
{
	int n;

	if (tasks->dir < 0)
		return rm_task_count(AT_FDCWD, "/proc/self/task");
	n = rm_fd_is(tasks->dir, &tasks->id) ? rm_task_count(tasks->dir, "") : 0;
	return n > 0 ? n : -EBADF; /* another file has not as many links */
}

int rm_task_count(int dir, const char *path)
{
	struct stat st;
	long r = rm_syscall(
		SYS_newfstatat, dir, (long)path, (long)&st, *path ? 0 : AT_EMPTY_PATH, 0, 0);

	/* proc_task_getattr() adds the number of threads to the directory's own two links. */
	return r ? (int)r : (int)st.st_nlink - 2;
}
