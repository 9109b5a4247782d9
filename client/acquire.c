/*
 * Acquiring: one key or many, the entry or the right to make it.
 *
 * Every key that has to be asked for is a *want*. Wants are sent pipelined (at most NTC_LIMIT_WINDOW under
 * way); their answers come in any order and are handed to the caller one at a time, entries before leases.
 * Whatever is wrong with the daemon turns into NTC_ALONE: a lost connection is made anew once and what is
 * unanswered is asked again; a daemon that gives no sign of life is given up.
 *
 * When the caller's time is over, what is unanswered is cancelled; the daemon answers that soon, and an entry or
 * a lease that crossed with the cancel is used. Only what stays unanswered even then is abandoned,
 * and a lease that comes for it later is released by the connection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/call.h"
#include "client/entry.h"
#include "client/errmap.h"
#include "client/key.h"
#include "client/ladder.h"
#include "client/lease.h"
#include "client/misslog.h"

struct want {
	struct ntc_request request; /* first: answers lead back to their want */
	size_t index;               /* in the caller's keys */
	const struct ntc_key *key;
	uint64_t sent_ns;
	size_t left_when_sent; /* the acquire's `left` then: tells whether something was answered since */
	bool answered;
	char why[160]; /* why the upper rungs had nothing */
};

struct acquire {
	struct ntc_client *client;
	struct ntc_acquire_options options;
	ntc_answer_fn *fn;
	void *ctx;
	struct want *wants;
	size_t count, left;       /* all, and those not answered */
	size_t next;              /* wants before this one were sent, or answered */
	size_t under_way, window; /* asked for now, and how many may be */
	bool many, stopped;
	uint64_t deadline; /* moves on while `fn` works: only waiting counts */
	struct ntc_conn *conn;
	uint64_t serial;
	uint32_t group;
	struct ntc_waiter waiter;
};

NTC_API void ntc_answer_clear(struct ntc_answer *answer)
{
	if (!answer)
		return;
	ntc_entry_unref(answer->entry);
	ntc_release(answer->lease);
	free(answer->log);
	*answer = (struct ntc_answer){ .err = NTC_OK };
}

/* --- handing answers to the caller -------------------------------------------------------- */

static void log_answer(struct acquire *a, const struct want *want, const struct ntc_answer *answer)
{
	const char *upper = a->client->mode == NTC_MODE_REFRESH ? "mode refresh" : "not found";

	if (*want->why)
		upper = want->why;
	switch (answer->err) {
	case NTC_OK:
		if (answer->entry->source == NTC_FROM_WAIT)
			ntc_misslog(a->client, want->key, "%s; waited %llu ms for another maker", upper,
				    (unsigned long long)(answer->waited_ns / NTC_NS_PER_MS));
		return;
	case NTC_MAKE:
		ntc_misslog(a->client, want->key, "%s; made here", upper);
		return;
	case NTC_ALONE:
		ntc_misslog(a->client, want->key, "%s; made here without a lease: %s", upper, answer->why);
		return;
	case NTC_FAILED:
		ntc_misslog(a->client, want->key, "%s; making it failed before", upper);
		return;
	default:
		ntc_misslog(a->client, want->key, "%s; %s", upper, ntc_err_text(answer->err));
	}
}

/* Answer one want, once. What the caller does not take out is cleared. */
static void deliver(struct acquire *a, struct want *want, struct ntc_answer *answer)
{
	uint64_t began = ntc_clock_mono_ns();

	want->answered = true;
	a->left--;
	log_answer(a, want, answer);
	if (!a->fn(a->ctx, want->index, answer))
		a->stopped = true;
	ntc_answer_clear(answer);
	a->deadline += ntc_clock_mono_ns() - began;
}

static void deliver_alone(struct acquire *a, struct want *want, const char *why)
{
	struct ntc_answer answer = { .err = NTC_ALONE };

	snprintf(answer.why, sizeof(answer.why), "%.*s", (int)sizeof(answer.why) - 1, why);
	deliver(a, want, &answer);
}

/* All that is left, for one reason. */
static void deliver_rest(struct acquire *a, const char *reason)
{
	char why[128];

	/* `reason` may be the last error, which the caller's function changes. */
	snprintf(why, sizeof(why), "%.127s", reason);
	for (size_t i = 0; i < a->count && !a->stopped; i++)
		if (!a->wants[i].answered)
			deliver_alone(a, &a->wants[i], why);
}

/* --- understanding answers ---------------------------------------------------------------- */

static void understand_entry(struct acquire *a, struct want *want, struct ntc_answer *answer)
{
	const struct ntc_reply *reply = &want->request.reply;
	struct ntc_msg_entry message;
	bool waited;

	if (!ntc_msg_entry_read(ntc_view(reply->bytes, reply->len), &message)) {
		ntc_call_malformed(a->conn, reply->type);
		return;
	}
	waited = message.flags & NTC_ENTRY_WAITED;
	answer->err = ntc_ladder_entry(reply, message.size, message.image, ntc_key_view(want->key),
				       waited ? NTC_FROM_WAIT : NTC_FROM_SOCKET, &answer->entry);
	if (waited)
		answer->waited_ns = reply->when_ns - want->sent_ns;
	if (answer->err) {
		struct ntc_digest digest = ntc_key_digest_of(want->key);

		snprintf(answer->why, sizeof(answer->why), "%.127s", ntc_last_error());
		answer->err = NTC_ALONE;
		ntc_ladder_suspect(a->client, &digest);
	}
}

/*
 * A lease may have waited here while the caller made something else: the time it lost so is asked for
 * again, and a lease that is over by then is none.
 */
static void understand_lease(struct acquire *a, struct want *want, struct ntc_answer *answer)
{
	const struct ntc_reply *reply = &want->request.reply;
	struct ntc_digest digest = ntc_key_digest_of(want->key);
	struct ntc_msg_lease message;
	uint64_t age = ntc_clock_mono_ns() - reply->when_ns;

	if (!ntc_msg_lease_read(ntc_view(reply->bytes, reply->len), &message) || message.lease == 0) {
		ntc_call_malformed(a->conn, reply->type);
		return;
	}
	if (message.flags & NTC_LEASE_WAITED)
		answer->waited_ns = reply->when_ns - want->sent_ns;
	answer->lease = ntc_lease_new(a->client, a->serial, message.lease, a->options.task, &digest);
	if (!answer->lease) {
		/* It cannot be given back either, but by hanging up. */
		ntc_conn_kill(a->conn, NTC_E_NO_MEMORY, "out of memory");
		return;
	}
	answer->err = NTC_MAKE;
	if (age > message.time_ns / 4 && ntc_extend(answer->lease, message.time_ns / NTC_NS_PER_MS)) {
		ntc_lease_free(answer->lease);
		answer->lease = NULL;
		answer->err = NTC_ALONE;
		snprintf(answer->why, sizeof(answer->why), "the lease was over before its turn came");
	}
}

static void understand_failed(struct acquire *a, struct want *want, struct ntc_answer *answer)
{
	const struct ntc_reply *reply = &want->request.reply;
	struct ntc_msg_failed message;

	if (!ntc_msg_failed_read(ntc_view(reply->bytes, reply->len), &message)) {
		ntc_call_malformed(a->conn, reply->type);
		return;
	}
	answer->log = malloc(message.log.len + 1);
	if (!answer->log) {
		snprintf(answer->why, sizeof(answer->why), "out of memory");
		return;
	}
	if (message.log.len)
		memcpy(answer->log, message.log.p, message.log.len);
	answer->log[message.log.len] = '\0';
	answer->log_len = message.log.len;
	answer->err = NTC_FAILED;
}

/* Returns false if the want is to be asked for again later (the daemon is busy with our other wants). */
static bool understand_error(struct acquire *a, struct want *want, struct ntc_answer *answer)
{
	unsigned status = 0;
	enum ntc_err err = ntc_call_error(a->conn, &want->request.reply, &status);

	if (status == NTC_ST_BUSY && (a->under_way || a->left != want->left_when_sent)) {
		/* As many as it took; the next is sent when one of those was answered, or has been meanwhile. */
		a->window = a->under_way ? a->under_way : 1;
		return false;
	}
	if (status == NTC_ST_BAD_KEY) {
		answer->err = err;
		return true;
	}
	snprintf(answer->why, sizeof(answer->why), "%.127s",
		 *ntc_last_error() ? ntc_last_error() : ntc_status_text(status));
	if (err < 0)
		ntc_client_tell_once(a->client, err, "going on without a lease");
	return true;
}

/* One answered want: to the caller, or back among those to be asked. */
static void take_answer(struct acquire *a, struct want *want)
{
	struct ntc_answer answer = { .err = NTC_ALONE, .why = "the daemon's answer makes no sense" };
	bool done = true;

	a->under_way--;
	switch (want->request.reply.type) {
	case NTC_MSG_ENTRY:
		understand_entry(a, want, &answer);
		break;
	case NTC_MSG_LEASE:
		understand_lease(a, want, &answer);
		break;
	case NTC_MSG_FAILED:
		understand_failed(a, want, &answer);
		break;
	case NTC_MSG_ERROR:
		done = understand_error(a, want, &answer);
		break;
	default:
		ntc_call_malformed(a->conn, want->request.reply.type);
	}
	ntc_reply_clear(&want->request.reply);
	if (answer.err != NTC_ALONE)
		answer.why[0] = '\0';
	if (done && a->window < NTC_LIMIT_WINDOW)
		a->window++;
	if (done)
		deliver(a, want, &answer);
	else if (want < a->wants + a->next)
		a->next = (size_t)(want - a->wants);
}

/* --- asking ------------------------------------------------------------------------------- */

static enum ntc_err send_want(struct acquire *a, struct want *want)
{
	struct ntc_msg_acquire message = {
		.task = a->options.task,
		.group = a->group,
		.width = a->options.width ? a->options.width : 1,
		.estimate_ns = a->options.estimate_ns,
		.key = ntc_key_view(want->key),
	};
	struct ntc_pack pack;
	enum ntc_err err;

	if (a->options.flags & NTC_ACQUIRE_RETRY_FAILED)
		message.flags |= NTC_ACQUIRE_RETRY;
	if (a->options.timeout_ms == 0)
		message.flags |= NTC_ACQUIRE_NOWAIT;
	if (a->client->mode == NTC_MODE_REFRESH)
		message.flags |= NTC_ACQUIRE_REFRESH;
	if (!ntc_encode_acquire(&pack, &message))
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	want->request.waiter = &a->waiter;
	want->sent_ns = ntc_clock_mono_ns();
	want->left_when_sent = a->left;
	err = ntc_conn_send(a->conn, NTC_MSG_ACQUIRE, ntc_pack_view(&pack), -1, &want->request,
			    ntc_deadline(-1, NTC_LIMIT_REQUEST));
	ntc_pack_release(&pack);
	if (!err)
		a->under_way++;
	return err;
}

/* Ask for as many as may be under way. */
static enum ntc_err send_wants(struct acquire *a)
{
	for (; a->next < a->count && a->under_way < a->window; a->next++) {
		struct want *want = &a->wants[a->next];
		enum ntc_err err;

		if (want->answered || want->request.id)
			continue;
		err = send_want(a, want);
		if (err)
			return err;
	}
	return NTC_OK;
}

/* Give up what is under way: cancel it, and use what comes for it all the same. */
static void cancel_all(struct acquire *a)
{
	for (size_t i = 0; i < a->count; i++) {
		struct ntc_msg_cancel message = { .request = a->wants[i].request.id };
		struct ntc_pack pack;

		if (!message.request || !ntc_encode_cancel(&pack, &message))
			continue;
		if (ntc_conn_send(a->conn, NTC_MSG_CANCEL, ntc_pack_view(&pack), -1, NULL,
				  ntc_deadline(-1, NTC_LIMIT_CANCEL)))
			return;
	}
}

static void abandon_all(struct acquire *a)
{
	for (size_t i = 0; i < a->count; i++)
		ntc_conn_abandon(a->conn, &a->wants[i].request);
	a->under_way = 0;
}

/*
 * Wait for any answer. Meanwhile the daemon is asked for a sign of life now and then: one that is stopped
 * must not hold us for as long as a maker may take.
 */
static enum ntc_err wait_for_any(struct acquire *a, uint64_t deadline)
{
	uint64_t silent_since = ntc_clock_mono_ns();
	bool probed = false;

	for (;;) {
		uint64_t heard = ntc_conn_heard(a->conn);
		uint64_t until;
		enum ntc_err err;

		if (heard > silent_since) {
			silent_since = heard;
			probed = false;
		}
		until = silent_since + (probed ? 2 : 1) * NTC_LIMIT_SILENCE;
		err = ntc_conn_wait(a->conn, &a->waiter, ntc_deadline_min(until, deadline));
		if (err != NTC_E_TIMEOUT || until > deadline)
			return err;
		if (ntc_conn_heard(a->conn) > silent_since)
			continue;
		if (probed)
			return ntc_conn_kill(a->conn, NTC_E_TIMEOUT, "the daemon gives no sign of life");
		ntc_conn_probe(a->conn, ntc_deadline(-1, NTC_LIMIT_REQUEST));
		probed = true;
	}
}

/* Hand out all answers that are there, entries first. */
static void take_answers(struct acquire *a)
{
	while (!a->stopped) {
		struct ntc_request *request = ntc_conn_take(a->conn, &a->waiter, NTC_MSG_LEASE);

		if (!request)
			request = ntc_conn_take(a->conn, &a->waiter, 0);
		if (!request)
			return;
		take_answer(a, (struct want *)request);
	}
}

/* Ask for everything that is left on one connection. NTC_OK when nothing is left (or the caller stopped); else why not. */
static enum ntc_err run_on(struct acquire *a)
{
	bool cancelled = false;
	enum ntc_err err = NTC_OK;

	a->next = 0;
	a->under_way = 0;
	a->window = NTC_LIMIT_WINDOW;
	while (a->left && !a->stopped) {
		if (!cancelled)
			err = send_wants(a);
		if (!err)
			err = wait_for_any(a, cancelled ? ntc_deadline(-1, NTC_LIMIT_CANCEL) : a->deadline);
		if (err == NTC_E_TIMEOUT && !cancelled && !ntc_conn_dead(a->conn, false)) {
			cancel_all(a);
			cancelled = true;
			a->next = a->count;
			err = NTC_OK;
			continue;
		}
		/* What came before the end of a connection is good; leases among it are not. */
		if (!err)
			take_answers(a);
		if (err)
			break;
		if (cancelled && !a->under_way)
			break;
	}
	if (a->stopped && a->under_way && !ntc_conn_dead(a->conn, false)) {
		/* Leases that are on their way are released when they come: wait for them a moment. */
		uint64_t until = ntc_deadline(-1, NTC_LIMIT_CANCEL);
		struct ntc_request *request;

		cancel_all(a);
		while (a->under_way && !ntc_conn_wait(a->conn, &a->waiter, until))
			while ((request = ntc_conn_take(a->conn, &a->waiter, 0))) {
				struct ntc_answer answer = { .err = NTC_ALONE };

				a->under_way--;
				if (request->reply.type == NTC_MSG_LEASE)
					understand_lease(a, (struct want *)request, &answer);
				ntc_reply_clear(&request->reply);
				ntc_answer_clear(&answer);
			}
	}
	abandon_all(a);
	if (cancelled && a->left && !a->stopped) {
		deliver_rest(a, "the longest wait was over");
		return NTC_OK;
	}
	return err;
}

/* Look on the upper rungs; what is there is delivered at once. */
static void look_up(struct acquire *a)
{
	for (size_t i = 0; i < a->count && !a->stopped; i++) {
		struct ntc_answer answer = { .err = NTC_OK };
		struct ntc_ladder_miss miss;

		if (a->wants[i].answered)
			continue;
		if (ntc_ladder_read(a->client, a->wants[i].key, &answer.entry, &miss) == NTC_OK)
			deliver(a, &a->wants[i], &answer);
		else
			memcpy(a->wants[i].why, miss.why, sizeof(a->wants[i].why));
	}
}

static void run(struct acquire *a)
{
	bool reads = a->client->mode != NTC_MODE_REFRESH;
	bool looked = false;

	if (a->client->mode == NTC_MODE_OFF) {
		deliver_rest(a, "mode off");
		return;
	}
	/* A client that knows segment and directory needs no daemon for what is there. */
	if (reads && __atomic_load_n(&a->client->attached, __ATOMIC_ACQUIRE)) {
		look_up(a);
		looked = true;
	}
	/* Once more, if the connection is lost on the way. */
	for (int turn = 0; turn < 2 && a->left && !a->stopped; turn++) {
		enum ntc_err err =
			ntc_client_conn(a->client, ntc_deadline(-1, NTC_LIMIT_AUTOSTART + NTC_LIMIT_GREETING),
					&a->conn, &a->serial);

		if (err) {
			char why[NTC_LIMIT_REASON];

			snprintf(why, sizeof(why), "%s", ntc_last_error());
			ntc_client_tell_once(a->client, err, "going on without the cache");
			deliver_rest(a, why);
			return;
		}
		if (!looked && reads)
			look_up(a);
		looked = true;
		if (a->client->mode == NTC_MODE_READ_ONLY) {
			/* No lease, but what only the socket has is used. */
			for (size_t i = 0; i < a->count && !a->stopped; i++) {
				struct ntc_answer answer = { .err = NTC_OK };

				if (a->wants[i].answered)
					continue;
				if (ntc_ladder_ask(a->client, a->wants[i].key,
						   ntc_deadline(-1, NTC_LIMIT_REQUEST),
						   &answer.entry) == NTC_OK)
					deliver(a, &a->wants[i], &answer);
				else
					deliver_alone(a, &a->wants[i], "mode readonly");
			}
		} else {
			if (a->many) {
				pthread_mutex_lock(&a->client->lock);
				if (++a->client->groups == 0)
					a->client->groups = 1;
				a->group = a->client->groups;
				pthread_mutex_unlock(&a->client->lock);
			}
			if (run_on(a) && turn == 1)
				deliver_rest(a, ntc_last_error());
		}
		ntc_conn_unref(a->conn);
		a->conn = NULL;
	}
}

static enum ntc_err acquire(struct ntc_client *client, const struct ntc_key *const *keys, size_t count,
			    const struct ntc_acquire_options *given, bool many, ntc_answer_fn *fn, void *ctx)
{
	struct acquire a = { .client = client,
			     .options = NTC_ACQUIRE_OPTIONS_INIT,
			     .fn = fn,
			     .ctx = ctx,
			     .count = count,
			     .left = count,
			     .many = many };

	if (given) {
		if (given->size < sizeof(given->size))
			return ntc_explain(NTC_E_INVALID,
					   "options without their size: use NTC_ACQUIRE_OPTIONS_INIT");
		memcpy(&a.options, given, given->size < sizeof(a.options) ? given->size : sizeof(a.options));
	}
	for (size_t i = 0; i < count; i++) {
		enum ntc_err err = ntc_key_usable(keys[i]);

		if (err)
			return err;
	}
	if (!a.options.task)
		a.options.task = (uint64_t)gettid();
	a.wants = calloc(count ? count : 1, sizeof(*a.wants));
	if (!a.wants)
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		a.wants[i].index = i;
		a.wants[i].key = keys[i];
		a.wants[i].request.reply = (struct ntc_reply)NTC_REPLY_INIT;
	}
	/* Without waiting, the daemon is still given the time to say that somebody else is at it. */
	a.deadline = ntc_deadline(a.options.timeout_ms ? a.options.timeout_ms : -1,
				  a.options.timeout_ms ? NTC_LIMIT_ACQUIRE : NTC_LIMIT_REQUEST);
	ntc_waiter_init(&a.waiter);
	run(&a);
	ntc_waiter_release(&a.waiter);
	free(a.wants);
	ntc_explain_clear();
	return a.stopped ? NTC_MISS : NTC_OK;
}

NTC_API enum ntc_err ntc_acquire_many(struct ntc_client *client, const struct ntc_key *const *keys,
				      size_t count, const struct ntc_acquire_options *options,
				      ntc_answer_fn *fn, void *ctx)
{
	enum ntc_err err = ntc_client_enter(client);

	if (!err && (!fn || (count && !keys)))
		err = ntc_explain(NTC_E_INVALID, "no keys or no function");
	return err ? err : acquire(client, keys, count, options, true, fn, ctx);
}

/* The one answer of ntc_acquire(): moved out. */
static bool take_out(void *ctx, size_t i, struct ntc_answer *answer)
{
	(void)i;
	*(struct ntc_answer *)ctx = *answer;
	*answer = (struct ntc_answer){ .err = NTC_OK };
	return true;
}

NTC_API enum ntc_err ntc_acquire(struct ntc_client *client, const struct ntc_key *key,
				 const struct ntc_acquire_options *options, struct ntc_answer *answer)
{
	enum ntc_err err = ntc_client_enter(client);

	if (!answer)
		return ntc_explain(NTC_E_INVALID, "no place for the answer");
	*answer = (struct ntc_answer){ .err = NTC_ALONE };
	if (!err)
		err = acquire(client, &key, 1, options, false, take_out, answer);
	if (err)
		answer->err = err;
	return answer->err;
}
