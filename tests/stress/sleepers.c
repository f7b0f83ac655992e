/* SPDX-License-Identifier: MIT */
/*
 * Threads that wait in the kernel, each in its own way. EINTR is a failure unless a signal handler
 * of the program has run in that very thread: it would be one of ours that has come to light.
 */
#include "tests/stress/stress.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

_Thread_local volatile sig_atomic_t handlers_run;
static sem_t never_posted; /* of zeros: as sem_init leaves it */

/* One wait of each sort that no signal of the program ends. Returns the errno if it ended early. */
static int wait_once(unsigned int how, int epoll, int event_never)
{
	struct pollfd p[2] = {{event_never, POLLIN, 0}, {event_end, POLLIN, 0}};
	struct epoll_event event;
	struct timespec nap = {0, 2000000};
	fd_set set;
	int r = 0;

	switch (how % SLEEPERS) {
	case 0:
		r = poll(p, 2, -1);
		break;
	case EPOLL_SLEEPER:
		r = epoll_wait(epoll, &event, 1, -1);
		break;
	case 2:
		FD_ZERO(&set);
		FD_SET(event_end, &set);
		r = select(event_end + 1, &set, NULL, NULL, NULL);
		break;
	case 3:
		r = nanosleep(&nap, &nap);
		break;
	case 4:
		clock_gettime(CLOCK_REALTIME, &nap);
		nap.tv_nsec += 2000000;
		if (nap.tv_nsec >= 1000000000) {
			nap.tv_sec++;
			nap.tv_nsec -= 1000000000;
		}
		r = sem_timedwait(&never_posted, &nap);
		if (r && errno == ETIMEDOUT)
			r = 0;
		break;
	case 5:
		r = ppoll(p, 2, NULL, NULL);
		break;
	case 6:
		r = poll(NULL, 0, 5);
		break;
	case 7:
		r = usleep(5000);
		break;
	}
	return r < 0 ? errno : 0;
}

void *run_sleeper(void *arg)
{
	unsigned int me = (unsigned int)(uintptr_t)arg;
	struct epoll_event event = {EPOLLIN, {.fd = event_end}};
	int epoll = epoll_create1(EPOLL_CLOEXEC), never = eventfd(0, EFD_CLOEXEC);

	epoll_ctl(epoll, EPOLL_CTL_ADD, event_end, &event);
	while (!atomic_load(&stop_all)) {
		const int before = handlers_run;
		int error = wait_once(me, epoll, never);

		if (error && !(error == EINTR && handlers_run != before))
			fail("a wait was cut short, sort and errno",
				me % SLEEPERS * 1000 + (unsigned int)error);
	}
	close(never);
	close(epoll);
	return NULL;
}
