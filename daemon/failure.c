/* Kept failures; see failure.h. Few at a time, so one list, newest last, serves. */
#include "daemon/failure.h"

#include <stdlib.h>
#include <sys/queue.h>

struct failure {
	TAILQ_ENTRY(failure) link;
	struct ntc_digest digest;
	uint64_t since_ns;
	size_t key_len, log_len;
	uint8_t bytes[];        /* key, then log */
};
TAILQ_HEAD(failure_list, failure);

struct ntc_failures {
	uint64_t keep_ns;
	struct failure_list list;
	unsigned count;
	size_t bytes;
};

struct ntc_failures *ntc_failures_new(uint64_t keep_ns)
{
	struct ntc_failures *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->keep_ns = keep_ns;
	TAILQ_INIT(&f->list);
	return f;
}

static void failure_drop(struct ntc_failures *f, struct failure *failure)
{
	TAILQ_REMOVE(&f->list, failure, link);
	f->count--;
	f->bytes -= failure->key_len + failure->log_len;
	free(failure);
}

void ntc_failures_free(struct ntc_failures *f)
{
	if (!f)
		return;
	while (!TAILQ_EMPTY(&f->list))
		failure_drop(f, TAILQ_FIRST(&f->list));
	free(f);
}

static bool failure_matches(const struct failure *failure, struct ntc_view key, const struct ntc_digest *digest)
{
	return ntc_digest_equal(&failure->digest, digest) &&
	       (key.len == 0 || ntc_view_equal(ntc_view(failure->bytes, failure->key_len), key));
}

/* Drop what is kept long enough; the oldest stand first. */
static void expire(struct ntc_failures *f, uint64_t now_ns)
{
	struct failure *failure;

	while ((failure = TAILQ_FIRST(&f->list)) && now_ns - failure->since_ns >= f->keep_ns)
		failure_drop(f, failure);
}

unsigned ntc_failures_forget(struct ntc_failures *f, struct ntc_view key, const struct ntc_digest *digest)
{
	struct failure *failure, *next;
	unsigned forgotten = 0;

	for (failure = TAILQ_FIRST(&f->list); failure; failure = next) {
		next = TAILQ_NEXT(failure, link);
		if (failure_matches(failure, key, digest)) {
			failure_drop(f, failure);
			forgotten++;
		}
	}
	return forgotten;
}

void ntc_failures_add(struct ntc_failures *f, struct ntc_view key, const struct ntc_digest *digest,
		      struct ntc_view log, uint64_t now_ns)
{
	struct failure *failure;

	expire(f, now_ns);
	ntc_failures_forget(f, key, digest);
	if (f->keep_ns == 0)
		return;
	failure = malloc(sizeof(*failure) + key.len + log.len);
	if (!failure)
		return;
	*failure = (struct failure){
		.digest = *digest,
		.since_ns = now_ns,
		.key_len = key.len,
		.log_len = log.len,
	};
	memcpy(failure->bytes, key.p, key.len);
	if (log.len)
		memcpy(failure->bytes + key.len, log.p, log.len);
	TAILQ_INSERT_TAIL(&f->list, failure, link);
	f->count++;
	f->bytes += key.len + log.len;
	while (f->count > NTC_FAILURES_MAX || f->bytes > NTC_FAILURES_BYTES_MAX)
		failure_drop(f, TAILQ_FIRST(&f->list));
}

bool ntc_failures_find(struct ntc_failures *f, struct ntc_view key, const struct ntc_digest *digest, uint64_t now_ns,
		       struct ntc_view *log, uint64_t *age_ns)
{
	struct failure *failure;

	*log = ntc_view(NULL, 0);
	*age_ns = 0;
	expire(f, now_ns);
	TAILQ_FOREACH(failure, &f->list, link) {
		if (failure_matches(failure, key, digest)) {
			*log = ntc_view(failure->bytes + failure->key_len, failure->log_len);
			*age_ns = now_ns - failure->since_ns;
			return true;
		}
	}
	return false;
}

unsigned ntc_failures_count(const struct ntc_failures *f)
{
	return f->count;
}
