/*
 * Many requests of one sort on one connection: a window of them is under way, their answers are taken in the order in
 * which they were asked. Private to the library.
 */
#ifndef NTC_CLIENT_MANY_H
#define NTC_CLIENT_MANY_H

#include "client/call.h"

/* One request of them. */
struct ntc_job {
	struct ntc_request request;     /* first: answers lead back to their job */
	bool answered;
	size_t index;                   /* from 0, in order of asking */
	struct ntc_entry *entry;        /* the sender's, unreffed by `take` or when all is given up; may be NULL */
};

struct ntc_many_ops;

struct ntc_many {
	struct ntc_conn *conn;
	/* private */
	const struct ntc_many_ops *ops;
	void *ctx;
	struct ntc_waiter waiter;
	struct ntc_job *ring;
	size_t window, first, count, asked;
	int timeout_ms;
	uint64_t limit_ns;
};

struct ntc_many_ops {
	/*
	 * Send the next request by ntc_many_send(). NTC_MISS: there is none now; and none any more, if no other is under way.
	 */
	enum ntc_err (*next)(void *ctx, struct ntc_many *many, struct ntc_job *job);
	/*
	 * Take the answer in job->request.reply, which is cleared afterwards. NTC_MISS: stop here. A job that was sent again
	 * meanwhile stays the first.
	 */
	enum ntc_err (*take)(void *ctx, struct ntc_many *many, struct ntc_job *job);
};

/* Send a job's request, for the first time or again. */
enum ntc_err ntc_many_send(struct ntc_many *many, struct ntc_job *job, unsigned type, struct ntc_view payload, int fd);

/*
 * All of them, at most `window` under way. The longest silence of the daemon is `timeout_ms` (or `limit_ns`, where that is
 * NTC_NO_TIMEOUT); what `next` and `take` need does not count. NTC_OK also where `take` stopped. A lost connection is not made anew:
 * what is unanswered then is not known.
 */
enum ntc_err ntc_many(struct ntc_client *client, size_t window, int timeout_ms, uint64_t limit_ns,
		      const struct ntc_many_ops *ops, void *ctx);

#endif
