/* Many requests on one connection; see many.h. */
#include "client/many.h"

#include "client/entry.h"

static uint64_t deadline(const struct ntc_many *many)
{
	return ntc_deadline(many->timeout_ms, many->limit_ns);
}

enum ntc_err ntc_many_send(struct ntc_many *many, struct ntc_job *job, unsigned type, struct ntc_view payload, int fd)
{
	job->answered = false;
	return ntc_conn_send(many->conn, type, payload, fd, &job->request, deadline(many));
}

/* Send as many as the window has room for. */
static enum ntc_err fill(struct ntc_many *many)
{
	enum ntc_err err = NTC_OK;

	while (!err && many->count < many->window) {
		struct ntc_job *job = &many->ring[(many->first + many->count) % many->window];

		*job = (struct ntc_job){ .request = { .waiter = &many->waiter, .reply = NTC_REPLY_INIT },
					 .index = many->asked };
		err = many->ops->next(many->ctx, many, job);
		if (!err) {
			many->count++;
			many->asked++;
		} else {
			ntc_entry_unref(job->entry);
		}
	}
	return err == NTC_MISS ? NTC_OK : err;
}

/* Wait until the first is answered. */
static enum ntc_err await(struct ntc_many *many)
{
	enum ntc_err err = NTC_OK;

	while (!err && !many->ring[many->first].answered) {
		struct ntc_request *request;

		/* Every answer is a sign of life. */
		err = ntc_conn_wait(many->conn, &many->waiter, deadline(many));
		while ((request = ntc_conn_take(many->conn, &many->waiter, 0)))
			((struct ntc_job *)request)->answered = true;
	}
	return err;
}

/* Take what is answered, up to the first that is not. */
static enum ntc_err take(struct ntc_many *many)
{
	enum ntc_err err = NTC_OK;

	while (!err && many->count && many->ring[many->first].answered) {
		struct ntc_job *job = &many->ring[many->first];
		struct ntc_reply reply = job->request.reply;

		err = many->ops->take(many->ctx, many, job);
		ntc_reply_clear(&reply);
		if (!job->answered)
			break;
		ntc_entry_unref(job->entry);
		many->first = (many->first + 1) % many->window;
		many->count--;
	}
	return err;
}

static void give_up(struct ntc_many *many)
{
	for (; many->count; many->count--, many->first = (many->first + 1) % many->window) {
		struct ntc_job *job = &many->ring[many->first];

		if (job->answered)
			ntc_reply_clear(&job->request.reply);
		else
			ntc_conn_abandon(many->conn, &job->request);
		ntc_entry_unref(job->entry);
	}
}

enum ntc_err ntc_many(struct ntc_client *client, size_t window, int timeout_ms, uint64_t limit_ns,
		      const struct ntc_many_ops *ops, void *ctx)
{
	struct ntc_many many = {
		.ops = ops, .ctx = ctx, .window = window, .timeout_ms = timeout_ms, .limit_ns = limit_ns,
	};
	enum ntc_err err = ntc_client_conn(client, deadline(&many), &many.conn, NULL);

	if (err)
		return err;
	many.ring = calloc(window, sizeof(*many.ring));
	if (!many.ring) {
		ntc_conn_unref(many.conn);
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	}
	ntc_waiter_init(&many.waiter);
	do {
		err = fill(&many);
		if (err || !many.count)
			break;
		err = await(&many);
		if (!err)
			err = take(&many);
	} while (!err);
	give_up(&many);
	ntc_waiter_release(&many.waiter);
	ntc_conn_unref(many.conn);
	free(many.ring);
	return err == NTC_MISS ? NTC_OK : err;
}
