/* The checker; see checker.h. */
#include "store/checker.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "store/index.h"

#define CHECK_NICE 19

static void *run(void *ctx)
{
	struct ntc_checker *checker = ctx;
	struct ntc_reason reason = { "" };
	struct ntc_index *index = NULL;
	struct ntc_op_list done = { 0 };
	struct ntc_op *op = checker->op;

	/* It may take minutes, and nobody waits for it: hits and puts go first. Linux knows a priority for each thread. */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), CHECK_NICE); /* or as all the others */
	op->st = ntc_index_open_reader(checker->dir, &index, &reason);
	if (!op->st)
		op->st = ntc_index_check(index, &checker->stop, &reason);
	ntc_index_close(index, false);
	if (op->st && op->st != NTC_ST_CANCELLED)
		ntc_store_log(checker->log, NTC_LOG_WARNING, "the check of the index: %s", reason.text);
	ntc_op_push(&done, op);
	ntc_mailbox_post(checker->mailbox, &done);
	return NULL;
}

bool ntc_checker_start(struct ntc_checker *checker, struct ntc_mailbox *mailbox, const char *dir,
		       const struct ntc_store_log *log, struct ntc_op *op)
{
	sigset_t all, before;

	checker->mailbox = mailbox;
	checker->dir = dir;
	checker->log = log;
	checker->op = op;
	/* Signals are the owner's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	checker->running = pthread_create(&checker->thread, NULL, run, checker) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return checker->running;
}

void ntc_checker_hurry(struct ntc_checker *checker)
{
	atomic_store(&checker->stop, true);
}

void ntc_checker_stop(struct ntc_checker *checker)
{
	ntc_checker_hurry(checker);
	if (checker->running)
		pthread_join(checker->thread, NULL);
	checker->running = false;
}
