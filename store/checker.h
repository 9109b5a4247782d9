/*
 * The checker: looks closely at an index that was not closed clean, behind a daemon that serves already. A thread
 * with a connection of its own, which posts one op when it is done.
 */
#ifndef NTC_STORE_CHECKER_H
#define NTC_STORE_CHECKER_H

#include <stdatomic.h>

#include "store/log.h"
#include "store/op.h"

struct ntc_checker {
	struct ntc_mailbox *mailbox;
	const struct ntc_store_log *log;
	const char *dir;                /* borrowed, as all above */
	struct ntc_op *op;              /* to be posted */
	atomic_bool stop;
	pthread_t thread;
	bool running;
};

/* Start it; the op (NTC_OP_CHECK) is posted with the status of ntc_index_check(). False without memory or threads. */
bool ntc_checker_start(struct ntc_checker *checker, struct ntc_mailbox *mailbox, const char *dir,
		       const struct ntc_store_log *log, struct ntc_op *op);

/* Have it end soon, without waiting. The op comes, CANCELLED if it had not come to an end. Any thread. */
void ntc_checker_hurry(struct ntc_checker *checker);

/* The same, and wait for the end: then it has no connection any more. Accepts one that was never started. The
 * writer's while that runs, then the owner's. */
void ntc_checker_stop(struct ntc_checker *checker);

#endif
