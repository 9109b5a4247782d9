/* Reading large bodies off the event loop; see ingest.h. */
#include "daemon/ingest.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/limits.h"
#include "proto/entry.h"

struct job {
	TAILQ_ENTRY(job) link;
	int fd;
	uint64_t size;
	ntc_ingest_fn *fn;
	void *ctx;
	enum ntc_status st;
	struct ntc_buffer *image;
};
TAILQ_HEAD(jobs, job);

struct ntc_ingest {
	pthread_t thread;
	bool started;
	struct event *done_event;
	int done_fd;
	unsigned count;         /* loop's thread only: jobs not yet handed back, and their bytes */
	uint64_t bytes;
	pthread_mutex_t lock;   /* guards what follows */
	pthread_cond_t wake;
	struct jobs todo, done;
	bool stop;
};

enum ntc_status ntc_ingest_check_fd(int fd, uint64_t size)
{
	int wanted = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	/* Only memfds know seals, so this also keeps out devices, pipes and files. */
	if (seals < 0 || (seals & wanted) != wanted || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size < 0 ||
	    (uint64_t)st.st_size != size)
		return NTC_ST_BAD_DESCRIPTOR;
	return NTC_ST_OK;
}

enum ntc_status ntc_ingest_read(int fd, uint64_t size, struct ntc_buffer **image)
{
	struct ntc_buffer *buffer = ntc_buffer_new(size + NTC_STAMP_SIZE);
	enum ntc_status st = NTC_ST_OK;
	struct ntc_body body;
	uint64_t at = 0;

	*image = NULL;
	if (!buffer)
		return NTC_ST_NO_MEMORY;
	while (at < size) {
		ssize_t n = pread(fd, buffer->bytes + at, size - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			ntc_buffer_unref(buffer);
			return NTC_ST_BAD_DESCRIPTOR;
		}
		at += (uint64_t)n;
	}
	st = ntc_body_parse(ntc_view(buffer->bytes, size), &body, NULL);
	if (!st)
		st = ntc_body_verify(&body);
	if (st) {
		ntc_buffer_unref(buffer);
		return st;
	}
	*image = buffer;
	return NTC_ST_OK;
}

static void *work(void *arg)
{
	struct ntc_ingest *in = arg;
	uint64_t one = 1;
	struct job *job;

	pthread_mutex_lock(&in->lock);
	for (;;) {
		while (!in->stop && TAILQ_EMPTY(&in->todo))
			pthread_cond_wait(&in->wake, &in->lock);
		if (in->stop)
			break;
		job = TAILQ_FIRST(&in->todo);
		TAILQ_REMOVE(&in->todo, job, link);
		pthread_mutex_unlock(&in->lock);
		job->st = ntc_ingest_read(job->fd, job->size, &job->image);
		pthread_mutex_lock(&in->lock);
		TAILQ_INSERT_TAIL(&in->done, job, link);
		/* An eventfd takes this unless it is full, and then it is readable already. */
		if (write(in->done_fd, &one, sizeof(one)) < 0)
			continue;
	}
	pthread_mutex_unlock(&in->lock);
	return NULL;
}

static void hand_back(struct ntc_ingest *in, struct job *job)
{
	in->count--;
	in->bytes -= job->size;
	close(job->fd);
	job->fn(job->ctx, job->st, job->image);
	free(job);
}

static struct job *take_done(struct ntc_ingest *in)
{
	struct job *job;

	pthread_mutex_lock(&in->lock);
	job = TAILQ_FIRST(&in->done);
	if (job)
		TAILQ_REMOVE(&in->done, job, link);
	pthread_mutex_unlock(&in->lock);
	return job;
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
	struct ntc_ingest *in = arg;
	struct job *job;
	uint64_t count;

	(void)what;
	/* Only resets it; how many are there is seen from the list. */
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	while ((job = take_done(in)))
		hand_back(in, job);
}

/* Signals are the loop's. */
static void start_thread(struct ntc_ingest *in)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	in->started = pthread_create(&in->thread, NULL, work, in) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct ntc_ingest *ntc_ingest_new(struct event_base *base)
{
	struct ntc_ingest *in = calloc(1, sizeof(*in));

	if (!in)
		return NULL;
	pthread_mutex_init(&in->lock, NULL);
	pthread_cond_init(&in->wake, NULL);
	TAILQ_INIT(&in->todo);
	TAILQ_INIT(&in->done);
	in->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (in->done_fd >= 0)
		in->done_event = event_new(base, in->done_fd, EV_READ | EV_PERSIST, on_done, in);
	if (in->done_event && !event_add(in->done_event, NULL))
		start_thread(in);
	if (!in->started) {
		ntc_ingest_free(in);
		return NULL;
	}
	return in;
}

void ntc_ingest_free(struct ntc_ingest *in)
{
	struct job *job;

	if (!in)
		return;
	if (in->started) {
		pthread_mutex_lock(&in->lock);
		in->stop = true;
		pthread_cond_signal(&in->wake);
		pthread_mutex_unlock(&in->lock);
		pthread_join(in->thread, NULL);
	}
	while ((job = take_done(in)))
		hand_back(in, job);
	while ((job = TAILQ_FIRST(&in->todo))) {
		TAILQ_REMOVE(&in->todo, job, link);
		job->st = NTC_ST_SHUTTING_DOWN;
		hand_back(in, job);
	}
	if (in->done_event)
		event_free(in->done_event);
	if (in->done_fd >= 0)
		close(in->done_fd);
	pthread_cond_destroy(&in->wake);
	pthread_mutex_destroy(&in->lock);
	free(in);
}

unsigned ntc_ingest_pending(const struct ntc_ingest *in)
{
	return in->count;
}

enum ntc_status ntc_ingest_queue(struct ntc_ingest *in, int fd, uint64_t size, ntc_ingest_fn *fn, void *ctx)
{
	struct job *job;

	if (in->count && (in->count >= NTC_INGEST_JOBS_MAX || size > NTC_INGEST_BYTES_MAX - in->bytes))
		return NTC_ST_BUSY;
	job = calloc(1, sizeof(*job));
	if (!job)
		return NTC_ST_NO_MEMORY;
	*job = (struct job){ .size = size, .fn = fn, .ctx = ctx };
	job->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (job->fd < 0) {
		free(job);
		return NTC_ST_NO_FILES;
	}
	in->count++;
	in->bytes += size;
	pthread_mutex_lock(&in->lock);
	TAILQ_INSERT_TAIL(&in->todo, job, link);
	pthread_cond_signal(&in->wake);
	pthread_mutex_unlock(&in->lock);
	return NTC_ST_OK;
}
