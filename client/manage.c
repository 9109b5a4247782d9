/* Looking after a daemon and its entries: ping, remove, list, show, statistics. Works in every mode. */
#include "client/call.h"
#include "client/entry.h"
#include "client/key.h"
#include "client/ladder.h"
#include "client/many.h"
#include "proto/key.h"

static struct ntc_view payload_of(const struct ntc_reply *reply)
{
	return ntc_view(reply->bytes, reply->len);
}

static enum ntc_err malformed(const char *what)
{
	return ntc_explain(NTC_E_PROTOCOL, "the daemon sent a malformed %s", what);
}

NTC_API enum ntc_err ntc_ping(struct ntc_client *client, int timeout_ms, uint64_t *pid)
{
	uint64_t deadline = ntc_deadline(timeout_ms, NTC_LIMIT_REQUEST);
	enum ntc_err err = ntc_client_enter(client);
	struct ntc_msg_done done;
	struct ntc_reply reply;

	if (pid)
		*pid = 0;
	if (err)
		return err;
	err = ntc_call(client, NTC_MSG_PING, ntc_view(NULL, 0), NTC_MSG_DONE, deadline, &reply);
	if (err)
		return err;
	if (!ntc_msg_done_read(payload_of(&reply), &done))
		err = malformed("DONE");
	else if (pid)
		*pid = done.value;
	ntc_reply_clear(&reply);
	return err;
}

/* --- removing ----------------------------------------------------------------------------- */

static enum ntc_err remove_by(struct ntc_client *client, const struct ntc_msg_remove *message,
			      uint64_t deadline)
{
	struct ntc_msg_done done;
	struct ntc_reply reply;
	struct ntc_pack pack;
	enum ntc_err err;

	if (client->mode == NTC_MODE_READ_ONLY)
		return ntc_explain(NTC_E_DENIED, "mode readonly: nothing is removed");
	if (!ntc_encode_remove(&pack, message))
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	err = ntc_call(client, NTC_MSG_REMOVE, ntc_pack_view(&pack), NTC_MSG_DONE, deadline, &reply);
	ntc_pack_release(&pack);
	if (err)
		return err;
	if (!ntc_msg_done_read(payload_of(&reply), &done))
		err = malformed("DONE");
	else if (done.value == 0)
		err = NTC_MISS;
	ntc_reply_clear(&reply);
	return err;
}

NTC_API enum ntc_err ntc_remove(struct ntc_client *client, const struct ntc_key *key, int timeout_ms)
{
	uint64_t deadline = ntc_deadline(timeout_ms, NTC_LIMIT_SYNC);
	struct ntc_msg_remove message;
	enum ntc_err err = ntc_client_enter(client);

	if (!err)
		err = ntc_key_usable(key);
	if (err)
		return err;
	message = (struct ntc_msg_remove){ .digest = ntc_key_digest_of(key), .key = ntc_key_view(key) };
	return remove_by(client, &message, deadline);
}

NTC_API enum ntc_err ntc_remove_digest(struct ntc_client *client, const struct ntc_digest *digest,
				       int timeout_ms)
{
	uint64_t deadline = ntc_deadline(timeout_ms, NTC_LIMIT_SYNC);
	struct ntc_msg_remove message = { .key = ntc_view(NULL, 0) };
	enum ntc_err err = ntc_client_enter(client);

	if (!err && !digest)
		err = ntc_explain(NTC_E_INVALID, "no digest");
	if (err)
		return err;
	message.digest = *digest;
	return remove_by(client, &message, deadline);
}

/* --- making room -------------------------------------------------------------------------- */

NTC_API enum ntc_err ntc_collect(struct ntc_client *client, const struct ntc_collect_options *options, int timeout_ms,
				 struct ntc_collect_result *result)
{
	uint64_t deadline = ntc_deadline(timeout_ms, NTC_LIMIT_SYNC);
	enum ntc_err err = ntc_client_enter(client);
	struct ntc_msg_collected collected;
	struct ntc_msg_collect message;
	struct ntc_reply reply;
	struct ntc_pack pack;

	if (result)
		*result = (struct ntc_collect_result){ 0 };
	if (!err && (!options || options->size < sizeof(*options)))
		err = ntc_explain(NTC_E_INVALID, "no options, or not initialised");
	if (!err && client->mode == NTC_MODE_READ_ONLY)
		err = ntc_explain(NTC_E_DENIED, "mode readonly: nothing is removed");
	if (err)
		return err;
	message = (struct ntc_msg_collect){ .max_bytes = options->max_bytes, .max_entries = options->max_entries,
					    .max_age_ns = options->max_age_ns,
					    .flags = options->quarantine ? NTC_COLLECT_QUARANTINE : 0 };
	if (!ntc_encode_collect(&pack, &message))
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	err = ntc_call(client, NTC_MSG_COLLECT, ntc_pack_view(&pack), NTC_MSG_COLLECTED, deadline, &reply);
	ntc_pack_release(&pack);
	if (err)
		return err;
	if (!ntc_msg_collected_read(payload_of(&reply), &collected))
		err = malformed("COLLECTED");
	else if (result)
		*result = (struct ntc_collect_result){ collected.entries, collected.bytes, collected.files };
	ntc_reply_clear(&reply);
	return err;
}

/* --- listing ------------------------------------------------------------------------------ */

static struct ntc_row_view row_view(const struct ntc_row *row)
{
	struct ntc_row_view view = {
		.digest = row->digest,
		.kind = row->kind,
		.uid = row->uid,
		.size = row->size,
		.put_wall_ns = row->put_wall_ns,
		.cost_ns = row->cost_ns,
		.hits = row->hits,
		.used = row->used,
		.parts = row->parts,
		.key_len = row->key_len,
		.pinned = row->flags & NTC_ROW_PINNED,
		.in_index = row->flags & NTC_ROW_INDEX,
	};

	_Static_assert(sizeof(view.name) == sizeof(row->name) && sizeof(view.producer) == sizeof(row->producer), "");
	memcpy(view.producer, row->producer, sizeof(view.producer));
	memcpy(view.name, row->name, sizeof(view.name));
	return view;
}

/* One page: NTC_OK, or NTC_MISS if `fn` stopped. *after moves on; *more tells whether there is another page. */
static enum ntc_err list_page(struct ntc_client *client, struct ntc_msg_list *list, uint64_t deadline,
			      ntc_row_fn *fn, void *ctx, bool *more)
{
	struct ntc_msg_rows rows;
	struct ntc_reply reply;
	struct ntc_reader r;
	struct ntc_pack pack;
	enum ntc_err err;
	/* The zero digest, which stands for the start, may be an entry's. */
	bool first = list->after.bytes[0] == 0 && memcmp(list->after.bytes, list->after.bytes + 1, 15) == 0;

	*more = false;
	if (!ntc_encode_list(&pack, list))
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	err = ntc_call(client, NTC_MSG_LIST, ntc_pack_view(&pack), NTC_MSG_ROWS, deadline, &reply);
	ntc_pack_release(&pack);
	if (err)
		return err;
	if (!ntc_msg_rows_read(payload_of(&reply), &rows) || rows.rows.len % NTC_ROW_SIZE ||
	    (rows.more && !rows.rows.len)) {
		err = malformed("ROWS");
		goto out;
	}
	*more = rows.more;
	for (r = ntc_reader(rows.rows.p, rows.rows.len); r.left;) {
		struct ntc_row row = ntc_row_read(&r);
		struct ntc_row_view view = row_view(&row);

		/* Strictly ascending: so a listing ends, whatever is sent. */
		if (r.bad || (memcmp(row.digest.bytes, list->after.bytes, sizeof(row.digest.bytes)) <= 0 && !first)) {
			err = malformed("ROWS");
			goto out;
		}
		list->after = row.digest;
		first = false;
		if (!fn(ctx, &view)) {
			err = NTC_MISS;
			goto out;
		}
	}
out:
	ntc_reply_clear(&reply);
	return err;
}

NTC_API enum ntc_err ntc_list(struct ntc_client *client, unsigned kind, int timeout_ms, ntc_row_fn *fn,
			      void *ctx)
{
	uint64_t deadline = ntc_deadline(timeout_ms, NTC_LIMIT_LIST);
	struct ntc_msg_list list = { .kind = kind, .limit = NTC_ROWS_MAX };
	enum ntc_err err = ntc_client_enter(client);
	bool more = true;

	if (!err && !fn)
		err = ntc_explain(NTC_E_INVALID, "no function");
	while (!err && more)
		err = list_page(client, &list, deadline, fn, ctx, &more);
	/* Stopped by the caller. */
	return err == NTC_MISS ? NTC_OK : err;
}

/* The entry and row of an answer to SHOW of `digest`. */
static enum ntc_err take_shown(const struct ntc_reply *reply, const struct ntc_digest *digest, struct ntc_row_view *row,
			       struct ntc_entry **entry)
{
	struct ntc_msg_shown shown;
	struct ntc_reader r;
	struct ntc_row found;
	enum ntc_err err;

	if (!ntc_msg_shown_read(payload_of(reply), &shown))
		return malformed("SHOWN");
	r = ntc_reader(shown.row.p, shown.row.len);
	found = ntc_row_read(&r);
	if (!ntc_read_done(&r))
		return malformed("SHOWN");
	err = ntc_ladder_entry(reply, shown.size, shown.image, ntc_view(NULL, 0), NTC_FROM_SOCKET, entry);
	if (!err && !ntc_digest_equal(&(*entry)->digest, digest)) {
		ntc_entry_unref(*entry);
		*entry = NULL;
		err = ntc_explain(NTC_E_FORMAT, "the daemon showed another entry");
	}
	if (!err && row)
		*row = row_view(&found);
	return err;
}

NTC_API enum ntc_err ntc_show(struct ntc_client *client, const struct ntc_digest *digest, int timeout_ms,
			      struct ntc_row_view *row, struct ntc_entry **entry)
{
	uint64_t deadline = ntc_deadline(timeout_ms, NTC_LIMIT_REQUEST);
	struct ntc_msg_show message = { .nothing = "" };
	struct ntc_reply reply;
	struct ntc_pack pack;
	enum ntc_err err = ntc_client_enter(client);

	if (entry)
		*entry = NULL;
	if (row)
		*row = (struct ntc_row_view){ .kind = 0 };
	if (!err && (!digest || !entry))
		err = ntc_explain(NTC_E_INVALID, "no digest, or no place for the entry");
	if (err)
		return err;
	message.digest = *digest;
	if (!ntc_encode_show(&pack, &message))
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	err = ntc_call(client, NTC_MSG_SHOW, ntc_pack_view(&pack), NTC_MSG_SHOWN, deadline, &reply);
	ntc_pack_release(&pack);
	if (!err)
		err = take_shown(&reply, digest, row, entry);
	ntc_reply_clear(&reply);
	return err;
}

/* --- many --------------------------------------------------------------------------------- */

/* Entries that are asked for one by one, by digest. */
struct asked {
	const struct ntc_digest *digests;
	size_t count, next;
	uint32_t flags;
	ntc_shown_fn *shown;
	ntc_verified_fn *verified;
	void *ctx;
};

static enum ntc_err next_show(void *ctx, struct ntc_many *many, struct ntc_job *job)
{
	struct asked *asked = ctx;
	struct ntc_msg_show message = { .nothing = "" };
	struct ntc_pack pack;
	enum ntc_err err;

	if (asked->next == asked->count)
		return NTC_MISS;
	message.digest = asked->digests[asked->next++];
	if (!ntc_encode_show(&pack, &message))
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	err = ntc_many_send(many, job, NTC_MSG_SHOW, ntc_pack_view(&pack), -1);
	ntc_pack_release(&pack);
	return err;
}

static enum ntc_err take_show(void *ctx, struct ntc_many *many, struct ntc_job *job)
{
	const struct ntc_reply *reply = &job->request.reply;
	const struct asked *asked = ctx;
	struct ntc_row_view row = { .kind = 0 };
	struct ntc_entry *entry = NULL;
	enum ntc_err err;
	bool go_on;

	if (reply->type == NTC_MSG_SHOWN)
		err = take_shown(reply, &asked->digests[job->index], &row, &entry);
	else if (reply->type == NTC_MSG_ERROR)
		err = ntc_call_error(many->conn, reply, NULL);
	else
		err = ntc_call_malformed(many->conn, reply->type);
	if (err == NTC_E_PROTOCOL)
		return err;
	go_on = asked->shown(asked->ctx, job->index, err, &row, entry);
	ntc_entry_unref(entry);
	return go_on ? NTC_OK : NTC_MISS;
}

static enum ntc_err next_verify(void *ctx, struct ntc_many *many, struct ntc_job *job)
{
	struct asked *asked = ctx;
	struct ntc_msg_verify message = { .flags = asked->flags };
	struct ntc_pack pack;
	enum ntc_err err;

	if (asked->next == asked->count)
		return NTC_MISS;
	message.digest = asked->digests[asked->next++];
	if (!ntc_encode_verify(&pack, &message))
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	err = ntc_many_send(many, job, NTC_MSG_VERIFY, ntc_pack_view(&pack), -1);
	ntc_pack_release(&pack);
	return err;
}

static enum ntc_err take_verify(void *ctx, struct ntc_many *many, struct ntc_job *job)
{
	const struct ntc_reply *reply = &job->request.reply;
	struct ntc_msg_verified verified = { .size = 0 };
	const struct asked *asked = ctx;
	enum ntc_err err = NTC_OK;

	if (reply->type == NTC_MSG_ERROR)
		err = ntc_call_error(many->conn, reply, NULL);
	else if (reply->type != NTC_MSG_VERIFIED || !ntc_msg_verified_read(payload_of(reply), &verified))
		err = ntc_call_malformed(many->conn, reply->type);
	if (err == NTC_E_PROTOCOL)
		return err;
	if (!err && verified.status)
		err = ntc_explain(NTC_E_FORMAT, "%.*s", (int)(verified.text.len < 400 ? verified.text.len : 400),
				  verified.text.len ? (const char *)verified.text.p : "");
	return asked->verified(asked->ctx, job->index, err, verified.size) ? NTC_OK : NTC_MISS;
}

static enum ntc_err ask_many(struct ntc_client *client, struct asked *asked, int timeout_ms,
			     const struct ntc_many_ops *ops)
{
	enum ntc_err err = ntc_client_enter(client);

	if (!err && ((asked->count && !asked->digests) || (!asked->shown && !asked->verified)))
		err = ntc_explain(NTC_E_INVALID, "no digests, or no function");
	return err ? err : ntc_many(client, NTC_LIMIT_MANY, timeout_ms, NTC_LIMIT_SYNC, ops, asked);
}

NTC_API enum ntc_err ntc_show_many(struct ntc_client *client, const struct ntc_digest *digests, size_t count,
				   int timeout_ms, ntc_shown_fn *fn, void *ctx)
{
	struct asked asked = { .digests = digests, .count = count, .shown = fn, .ctx = ctx };

	return ask_many(client, &asked, timeout_ms, &(struct ntc_many_ops){ next_show, take_show });
}

NTC_API enum ntc_err ntc_verify_many(struct ntc_client *client, const struct ntc_digest *digests, size_t count,
				     unsigned flags, int timeout_ms, ntc_verified_fn *fn, void *ctx)
{
	struct asked asked = { .digests = digests, .count = count, .flags = flags, .verified = fn, .ctx = ctx };

	return ask_many(client, &asked, timeout_ms, &(struct ntc_many_ops){ next_verify, take_verify });
}

/* --- statistics --------------------------------------------------------------------------- */

NTC_API enum ntc_err ntc_stats(struct ntc_client *client, int timeout_ms, ntc_counter_fn *fn, void *ctx)
{
	uint64_t deadline = ntc_deadline(timeout_ms, NTC_LIMIT_REQUEST);
	enum ntc_err err = ntc_client_enter(client);
	struct ntc_msg_counters message;
	struct ntc_field field;
	struct ntc_reply reply;
	struct ntc_reader r;

	if (!err && !fn)
		err = ntc_explain(NTC_E_INVALID, "no function");
	if (err)
		return err;
	err = ntc_call(client, NTC_MSG_STATS, ntc_view(NULL, 0), NTC_MSG_COUNTERS, deadline, &reply);
	if (err)
		return err;
	if (!ntc_msg_counters_read(payload_of(&reply), &message) || ntc_key_check(message.counters, NULL)) {
		err = malformed("COUNTERS");
		goto out;
	}
	for (r = ntc_key_fields(message.counters); ntc_key_next(&r, &field);) {
		char name[NTC_KEY_NAME_MAX + 1];
		int64_t value;

		if (field.type != NTC_TYPE_INT || !ntc_value_get_int(field.value, &value))
			continue;
		memcpy(name, field.name.p, field.name.len);
		name[field.name.len] = '\0';
		fn(ctx, name, value);
	}
out:
	ntc_reply_clear(&reply);
	return err;
}
