/* SPDX-License-Identifier: MIT */
/* fd.h explains. */
#include "emul/fd.h"

#include <errno.h>
#include <sys/stat.h>

#include "emul/sys.h"

static long identify(int fd, struct rm_fd_id *id)
{
	struct stat st;
	const long r = rm_syscall(SYS_fstat, fd, (long)&st, 0, 0, 0, 0);

	*id = r ? (struct rm_fd_id){0, 0} : (struct rm_fd_id){st.st_dev, st.st_ino};
	return r;
}

struct rm_fd_id rm_fd_id(int fd)
{
	struct rm_fd_id id;

	(void)identify(fd, &id);
	return id;
}

bool rm_fd_is(int fd, const struct rm_fd_id *id)
{
	struct rm_fd_id now;
	const long r = identify(fd, &now);

	/* a filter may refuse to say, now or before: it is taken for ours, as it nearly always is */
	return r != -EBADF && (r || !id->ino || (now.dev == id->dev && now.ino == id->ino));
}

void rm_fd_close(int fd, const struct rm_fd_id *id)
{
	if (rm_fd_is(fd, id))
		rm_sys_close(fd);
}
