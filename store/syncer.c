/* Syncing all at once; see syncer.h. */
#include "store/syncer.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "store/fs.h"
#include "store/op.h"
#include "store/sys.h"

static void wait_until(struct ntc_syncer *syncer, uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / NTC_NS_PER_S), .tv_nsec = (long)(ns % NTC_NS_PER_S) };

	pthread_cond_timedwait(&syncer->changed, &syncer->lock, &ts);
}

/* One sync is wanted or due now; lock held. */
static bool has_work(const struct ntc_syncer *syncer)
{
	return syncer->wanted || (syncer->due_ns && (syncer->ended || ntc_clock_mono_ns() >= syncer->due_ns));
}

static void *run(void *ctx)
{
	struct ntc_syncer *syncer = ctx;
	bool was_due;
	int err;

	pthread_mutex_lock(&syncer->lock);
	for (;;) {
		if (!has_work(syncer)) {
			if (syncer->ended)
				break;
			if (syncer->due_ns)
				wait_until(syncer, syncer->due_ns);
			else
				pthread_cond_wait(&syncer->changed, &syncer->lock);
			continue;
		}
		was_due = syncer->due_ns != 0;
		syncer->due_ns = 0;
		syncer->wanted = false;
		syncer->busy = true;
		pthread_mutex_unlock(&syncer->lock);
		err = ntc_sys_syncfs(syncer->fd);
		if (err && was_due)
			ntc_store_log(syncer->log, NTC_LOG_ERROR,
				      "the file system cannot be synced: what was put in the last second may not survive a power cut: %s",
				      strerror(-err));
		pthread_mutex_lock(&syncer->lock);
		syncer->busy = false;
		syncer->err = err;
		if (err && was_due)
			syncer->late_err = err;
		syncer->done++;
		pthread_cond_broadcast(&syncer->changed);
	}
	pthread_mutex_unlock(&syncer->lock);
	return NULL;
}

bool ntc_syncer_start(struct ntc_syncer *syncer, int fd, bool later, const struct ntc_store_log *log)
{
	sigset_t all, before;
	struct statfs fs;

	*syncer = (struct ntc_syncer){ .fd = fd, .log = log, .each_ns = NTC_SYNC_EACH_FIRST_NS };
	/* Where that cannot be learnt, it is not trusted. */
	syncer->trusted = !ntc_sys_statfs(fd, &fs) && ntc_fs_tells_all((unsigned long)fs.f_type);
	if (!syncer->trusted && !later)
		return true;
	if (pthread_mutex_init(&syncer->lock, NULL))
		return false;
	if (!ntc_cond_init(&syncer->changed)) {
		pthread_mutex_destroy(&syncer->lock);
		return false;
	}
	/* Signals are the owner's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	syncer->running = pthread_create(&syncer->thread, NULL, run, syncer) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!syncer->running) {
		pthread_cond_destroy(&syncer->changed);
		pthread_mutex_destroy(&syncer->lock);
	}
	return syncer->running;
}

void ntc_syncer_stop(struct ntc_syncer *syncer)
{
	if (!syncer->running)
		return;
	pthread_mutex_lock(&syncer->lock);
	syncer->ended = true;
	pthread_cond_broadcast(&syncer->changed);
	pthread_mutex_unlock(&syncer->lock);
	pthread_join(syncer->thread, NULL);
	pthread_cond_destroy(&syncer->changed);
	pthread_mutex_destroy(&syncer->lock);
	syncer->running = false;
}

bool ntc_syncer_all(struct ntc_syncer *syncer, size_t count)
{
	uint64_t now = ntc_clock_mono_ns(), limit = 2 * count * syncer->each_ns, done;
	bool ok;

	if (!syncer->running || !syncer->trusted || count < NTC_SYNC_ALL_MIN || now < syncer->paused_until_ns)
		return false;
	limit = now + (limit < NTC_SYNC_ALL_WAIT_MAX_NS ? limit : NTC_SYNC_ALL_WAIT_MAX_NS);
	pthread_mutex_lock(&syncer->lock);
	if (syncer->busy) {
		/* That one began before what is to be synced was written. */
		pthread_mutex_unlock(&syncer->lock);
		return false;
	}
	syncer->wanted = true;
	done = syncer->done;
	pthread_cond_broadcast(&syncer->changed);
	while (syncer->done == done && ntc_clock_mono_ns() < limit)
		wait_until(syncer, limit);
	syncer->wanted = false;
	ok = syncer->done != done && !syncer->err;
	pthread_mutex_unlock(&syncer->lock);
	if (ok) {
		syncer->pause_ns = 0;
		return true;
	}
	/* Too much of other people's, or an error, which may be another file's: each of ours is asked. */
	syncer->pause_ns = syncer->pause_ns ? syncer->pause_ns * 2 : NTC_SYNC_PAUSE_MIN_NS;
	if (syncer->pause_ns > NTC_SYNC_PAUSE_MAX_NS)
		syncer->pause_ns = NTC_SYNC_PAUSE_MAX_NS;
	syncer->paused_until_ns = ntc_clock_mono_ns() + syncer->pause_ns;
	return false;
}

void ntc_syncer_later(struct ntc_syncer *syncer)
{
	pthread_mutex_lock(&syncer->lock);
	if (!syncer->due_ns) {
		syncer->due_ns = ntc_clock_mono_ns() + NTC_SYNC_LATER_NS;
		pthread_cond_broadcast(&syncer->changed);
	}
	pthread_mutex_unlock(&syncer->lock);
}

int ntc_syncer_late_error(struct ntc_syncer *syncer)
{
	int err = 0;

	if (!syncer->running)
		return 0;
	pthread_mutex_lock(&syncer->lock);
	err = syncer->late_err;
	syncer->late_err = 0;
	pthread_mutex_unlock(&syncer->lock);
	return err;
}

void ntc_syncer_took(struct ntc_syncer *syncer, size_t count, uint64_t ns)
{
	if (count)
		syncer->each_ns = (7 * syncer->each_ns + ns / count) / 8;
}
