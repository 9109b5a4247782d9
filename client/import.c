/*
 * Importing: many entries put with their stamps, as many under way as the daemon's writer can make a group of. The daemon answers
 * each when it is durable; so the window is what keeps its queue short, and BUSY is met only where others fill that.
 */
#include <time.h>
#include <unistd.h>

#include "client/entry.h"
#include "client/many.h"
#include "client/put.h"

#define PAUSE_MIN (1 * NTC_NS_PER_MS)
#define PAUSE_MAX (200 * NTC_NS_PER_MS)

struct import {
	ntc_import_next_fn *next;
	ntc_import_fn *fn;
	void *ctx;
	struct ntc_entry *held;     /* did not fit into the window yet */
	uint64_t bytes;             /* under way */
	bool ended;                 /* `next` gives nothing more */
	bool stopped;               /* `fn` wants no more */
	bool leans;                 /* something was known: it may be on somebody's way to the disk, which a SYNC waits for */
	uint64_t pause, tries;      /* after a BUSY: how long to wait, how long the first one was waited for */
	uint64_t patience;
};

static enum ntc_err send_entry(struct ntc_many *many, struct ntc_job *job)
{
	const struct ntc_entry *entry = job->entry;
	struct ntc_msg_import message = { .size = entry->body.bytes.len };
	struct ntc_stamp stamp;
	struct ntc_pack pack;
	enum ntc_err err;
	bool inside;
	int fd;

	err = ntc_put_prepare(many->conn, entry->body.bytes, &inside, &fd);
	if (err)
		return err;
	if (inside)
		message.body = entry->body.bytes;
	if (entry->stamp && ntc_stamp_read(entry->stamp, &entry->body.checksum, &stamp) == NTC_ST_OK)
		message.stamp = ntc_view(entry->stamp, NTC_STAMP_SIZE);
	if (ntc_encode_import(&pack, &message)) {
		err = ntc_many_send(many, job, NTC_MSG_IMPORT, ntc_pack_view(&pack), fd);
		ntc_pack_release(&pack);
	} else {
		err = ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	}
	if (fd >= 0)
		close(fd);
	return err;
}

static enum ntc_err next_entry(void *ctx, struct ntc_many *many, struct ntc_job *job)
{
	struct import *import = ctx;

	for (;;) {
		struct ntc_entry *entry = import->held;
		enum ntc_err err;

		if (import->stopped)
			return NTC_MISS;
		if (!entry && !import->ended)
			entry = import->next(import->ctx);
		import->held = entry;
		import->ended = !entry;
		/* Nothing under way, nothing to come. */
		if (!entry && !import->bytes && import->leans) {
			import->leans = false;
			return ntc_many_send(many, job, NTC_MSG_SYNC, ntc_view(NULL, 0), -1);
		}
		if (!entry || (import->bytes && import->bytes + entry->body.bytes.len > NTC_LIMIT_IMPORT_BYTES))
			return NTC_MISS;
		import->held = NULL;
		job->entry = entry;
		err = send_entry(many, job);
		if (!err) {
			import->bytes += entry->body.bytes.len;
			return NTC_OK;
		}
		/* Refused before it was sent: that is its answer, if not in its turn. */
		if (err != NTC_E_TOO_LARGE)
			return err;
		import->stopped = !import->fn(import->ctx, entry, err);
		ntc_entry_unref(entry);
		job->entry = NULL;
	}
}

/* The daemon's queue is full of others' puts: ask again, after longer and longer pauses. */
static enum ntc_err again(struct import *import, struct ntc_many *many, struct ntc_job *job)
{
	struct timespec t;

	import->pause = import->pause ? 2 * import->pause : PAUSE_MIN;
	if (import->pause > PAUSE_MAX)
		import->pause = PAUSE_MAX;
	import->tries += import->pause;
	t = (struct timespec){ .tv_nsec = (long)import->pause };
	(void)nanosleep(&t, NULL); /* interrupted: asking earlier does no harm */
	return send_entry(many, job);
}

static enum ntc_err take_stored(void *ctx, struct ntc_many *many, struct ntc_job *job)
{
	const struct ntc_reply *reply = &job->request.reply;
	struct import *import = ctx;
	enum ntc_err err;

	if (import->stopped)
		return NTC_MISS;
	if (reply->type == NTC_MSG_DONE && !job->entry)
		return NTC_OK; /* the SYNC */
	if (reply->type == NTC_MSG_STORED && job->entry)
		err = ntc_put_stored(many->conn, reply);
	else if (reply->type == NTC_MSG_ERROR)
		err = ntc_call_error(many->conn, reply, NULL);
	else
		err = ntc_call_malformed(many->conn, reply->type);
	if (err == NTC_E_PROTOCOL || err == NTC_E_NO_DAEMON || !job->entry)
		return err;
	if (err == NTC_E_BUSY && import->tries < import->patience)
		return again(import, many, job);
	import->pause = import->tries = 0;
	import->bytes -= job->entry->body.bytes.len;
	import->leans |= err == NTC_KNOWN;
	return import->fn(import->ctx, job->entry, err) ? NTC_OK : NTC_MISS;
}

NTC_API enum ntc_err ntc_import(struct ntc_client *client, int timeout_ms, ntc_import_next_fn *next,
				ntc_import_fn *fn, void *ctx)
{
	static const struct ntc_many_ops ops = { next_entry, take_stored };
	struct import import = { .next = next, .fn = fn, .ctx = ctx };
	enum ntc_err err = ntc_client_enter(client);

	if (!err && (!next || !fn))
		err = ntc_explain(NTC_E_INVALID, "no functions");
	if (!err && client->mode == NTC_MODE_READ_ONLY)
		err = ntc_explain(NTC_E_DENIED, "mode readonly: nothing is imported");
	if (err)
		return err;
	import.patience = timeout_ms < 0 ? NTC_LIMIT_SYNC : (uint64_t)timeout_ms * NTC_NS_PER_MS;
	err = ntc_many(client, NTC_LIMIT_IMPORTS, timeout_ms, NTC_LIMIT_SYNC, &ops, &import);
	ntc_entry_unref(import.held);
	return err;
}
