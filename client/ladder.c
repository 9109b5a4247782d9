/* Looking up; see ladder.h. */
#include "client/ladder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/call.h"
#include "client/errmap.h"
#include "client/key.h"
#include "client/misslog.h"
#include "client/peek.h"
#include "client/report.h"

void ntc_ladder_suspect(struct ntc_client *client, const struct ntc_digest *digest)
{
	struct ntc_msg_suspect message = { .digest = *digest };
	uint64_t deadline = ntc_clock_mono_ns() + NTC_LIMIT_REPORT;
	struct ntc_conn *conn;
	struct ntc_pack pack;

	if (ntc_client_conn(client, deadline, &conn, NULL))
		return;
	if (ntc_encode_suspect(&pack, &message)) {
		/* Not told now: the next reader will. */
		(void)ntc_conn_send(conn, NTC_MSG_SUSPECT, ntc_pack_view(&pack), -1, NULL, deadline);
		ntc_pack_release(&pack);
	}
	ntc_conn_unref(conn);
}

struct copy {
	uint8_t *memory; /* NULL: there was none to be had */
	size_t len;
};

/* One look at the image: take a copy along. It is right if the look was valid. */
static void copy_it(void *ctx, const struct ntc_peek *peek)
{
	struct copy *copy = ctx;

	if (copy->memory && copy->len != peek->hit.len) {
		ntc_image_free(copy->memory);
		copy->memory = NULL;
	}
	copy->len = peek->hit.len;
	if (!copy->memory)
		copy->memory = ntc_image_memory(copy->len);
	if (copy->memory)
		ntc_racing_copy_out(copy->memory, peek->hit.image, copy->len);
}

/* Second rung: the shared segment. What cannot be copied, for whatever reason, is read from its file. */
static bool read_segment(struct ntc_client *client, const struct ntc_key *key, struct ntc_entry **entry)
{
	struct ntc_digest digest = ntc_key_digest_of(key);
	struct copy copy = { NULL, 0 };

	if (ntc_peek_at(client, key, copy_it, &copy) && copy.memory)
		return ntc_entry_from_segment(copy.memory, copy.len, ntc_key_view(key), &digest, entry,
					      NULL) == NTC_ST_OK;
	ntc_image_free(copy.memory);
	return false;
}

/* What opening a blob file showed, other than a whole one. */
static enum ntc_err no_file(struct ntc_ladder_miss *miss, const char *what, int err)
{
	snprintf(miss->why, sizeof(miss->why), "%.100s%s%.50s", what, err ? ": " : "",
		 err ? strerror(err) : "");
	return NTC_MISS;
}

/* Third rung: the blob file, if the daemon let us have its directory. */
static enum ntc_err read_file(struct ntc_client *client, const struct ntc_key *key, struct ntc_entry **entry,
			      struct ntc_ladder_miss *miss)
{
	struct ntc_dir *dir = ntc_client_dir(client);
	struct ntc_digest digest = ntc_key_digest_of(key);
	char hex[NTC_DIGEST_TEXT_SIZE], name[NTC_DIGEST_TEXT_SIZE + 3];
	struct ntc_entry *found = NULL;
	struct ntc_reason why;
	enum ntc_status status;
	struct stat st;
	int fd, saved;

	if (!dir)
		return no_file(miss, "not found (files are not readable)", 0);
	ntc_digest_format(&digest, hex);
	snprintf(name, sizeof(name), "%.2s/%s", hex, hex);
	fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	saved = errno;
	ntc_dir_unref(dir);
	if (fd < 0)
		return saved == ENOENT ? no_file(miss, "not found", 0)
				       : no_file(miss, "unreadable file", saved);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return no_file(miss, "damaged file: not a regular file", 0);
	}
	status = ntc_entry_from_fd(fd, (uint64_t)st.st_size, ntc_view(NULL, 0), NTC_FROM_FILE, &found, &why);
	close(fd);
	if (!status && ntc_view_equal(found->body.key, ntc_key_view(key))) {
		*entry = found;
		return NTC_OK;
	}
	if (!status) {
		bool collision = ntc_digest_equal(&found->digest, &digest);

		ntc_entry_unref(found);
		/* A good entry of another key with this digest: nothing to suspect. */
		if (collision)
			return no_file(miss, "key collision: another key has this digest", 0);
		ntc_reject(&why, NTC_ST_KEY_MISMATCH, "it has another entry's name");
	} else if (status == NTC_ST_NO_MEMORY || status == NTC_ST_NO_FILES) {
		return no_file(miss, why.text, 0);
	}
	snprintf(miss->why, sizeof(miss->why), "damaged file: %.130s", why.text);
	ntc_ladder_suspect(client, &digest);
	return NTC_MISS;
}

enum ntc_err ntc_ladder_read(struct ntc_client *client, const struct ntc_key *key, struct ntc_entry **entry,
			     struct ntc_ladder_miss *miss)
{
	struct ntc_digest digest;

	*entry = NULL;
	miss->why[0] = '\0';
	if (read_segment(client, key, entry))
		return NTC_OK;
	if (read_file(client, key, entry, miss) != NTC_OK)
		return NTC_MISS;
	digest = ntc_key_digest_of(key);
	ntc_report_hit(client, &digest, NTC_RUNG_FILE);
	return NTC_OK;
}

enum ntc_err ntc_ladder_entry(const struct ntc_reply *reply, uint64_t size, struct ntc_view image,
			      struct ntc_view key, enum ntc_source source, struct ntc_entry **entry)
{
	struct ntc_reason why;
	enum ntc_status st;

	*entry = NULL;
	if (reply->fd >= 0) {
		st = ntc_entry_from_fd(reply->fd, size, key, source, entry, &why);
	} else if (image.len != size || image.len == 0) {
		return ntc_explain(NTC_E_FORMAT, "the daemon sent an image of another size than it said");
	} else {
		uint8_t *memory = ntc_image_memory(image.len);

		if (!memory)
			return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
		memcpy(memory, image.p, image.len);
		st = ntc_entry_from_image(memory, image.len, key, source, entry, &why);
	}
	return st ? ntc_explain(st == NTC_ST_BAD_KEY ? NTC_E_FORMAT : ntc_err_from_status(st),
				"the daemon's image: %s", why.text)
		  : NTC_OK;
}

enum ntc_err ntc_ladder_ask(struct ntc_client *client, const struct ntc_key *key, uint64_t deadline,
			    struct ntc_entry **entry)
{
	struct ntc_msg_lookup message = { .key = ntc_key_view(key) };
	struct ntc_msg_entry found;
	struct ntc_reply reply;
	struct ntc_pack pack;
	enum ntc_err err;

	if (!ntc_encode_lookup(&pack, &message))
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	err = ntc_call(client, NTC_MSG_LOOKUP, ntc_pack_view(&pack), NTC_MSG_ENTRY, deadline, &reply);
	ntc_pack_release(&pack);
	if (err)
		return err;
	if (ntc_msg_entry_read(ntc_view(reply.bytes, reply.len), &found))
		err = ntc_ladder_entry(&reply, found.size, found.image, ntc_key_view(key), NTC_FROM_SOCKET,
				       entry);
	else
		err = ntc_explain(NTC_E_PROTOCOL, "the daemon sent a malformed ENTRY");
	ntc_reply_clear(&reply);
	return err;
}

/* There is nothing to be read without a question, as far as we are attached: attach, read, ask. */
static enum ntc_err look_further(struct ntc_client *client, const struct ntc_key *key, bool attached,
				 uint64_t deadline, struct ntc_ladder_miss *miss, struct ntc_entry **entry)
{
	enum ntc_err err = NTC_OK;
	struct ntc_conn *conn;

	if (!attached) {
		err = ntc_client_conn(client, deadline, &conn, NULL);
		if (!err) {
			ntc_conn_unref(conn);
			if (ntc_ladder_read(client, key, entry, miss) == NTC_OK)
				return NTC_OK;
		}
	}
	if (!err)
		err = ntc_ladder_ask(client, key, deadline, entry);
	if (err == NTC_E_FORMAT) {
		struct ntc_digest digest = ntc_key_digest_of(key);
		char why[NTC_LIMIT_REASON];

		snprintf(why, sizeof(why), "%s", ntc_last_error());
		ntc_ladder_suspect(client, &digest);
		ntc_explain(err, "%s", why);
	}
	if (err == NTC_MISS) {
		ntc_explain_clear();
		ntc_misslog(client, key, "%s", *miss->why ? miss->why : "not found");
	} else if (err) {
		ntc_misslog(client, key, "%s: %s", ntc_err_text(err), ntc_last_error());
		if (err == NTC_E_NO_DAEMON)
			ntc_client_tell_once(client, err, "going on without the cache");
	}
	return err;
}

NTC_API enum ntc_err ntc_lookup(struct ntc_client *client, const struct ntc_key *key, int timeout_ms,
				struct ntc_entry **entry)
{
	struct ntc_ladder_miss miss;
	bool attached;
	enum ntc_err err;

	err = ntc_client_enter(client);
	if (!err && !entry)
		err = ntc_explain(NTC_E_INVALID, "no place for the entry");
	if (err)
		return err;
	*entry = NULL;
	err = ntc_key_usable(key);
	if (err)
		return err;
	if (client->mode == NTC_MODE_OFF || client->mode == NTC_MODE_REFRESH) {
		ntc_misslog(client, key, "mode %s", client->mode == NTC_MODE_OFF ? "off" : "refresh");
		return NTC_MISS;
	}
	miss.why[0] = '\0';
	/* The first look-up has nothing to read in before there was a greeting. No clock is read before this fails. */
	attached = __atomic_load_n(&client->attached, __ATOMIC_ACQUIRE);
	if (attached && ntc_ladder_read(client, key, entry, &miss) == NTC_OK)
		return NTC_OK;
	return look_further(client, key, attached, ntc_deadline(timeout_ms, NTC_LIMIT_REQUEST), &miss, entry);
}
