/* Encoders and decoders of all messages, made from the field lists; see message.h. */
#include "proto/message.h"

static void write_u32(struct ntc_writer *w, const uint32_t *v)
{
	ntc_write32(w, *v);
}

static void write_u64(struct ntc_writer *w, const uint64_t *v)
{
	ntc_write64(w, *v);
}

static void write_digest(struct ntc_writer *w, const struct ntc_digest *v)
{
	ntc_write_bytes(w, v->bytes, sizeof(v->bytes));
}

static void write_view(struct ntc_writer *w, const struct ntc_view *v)
{
	ntc_write_counted(w, *v);
}

static void read_u32(struct ntc_reader *r, uint32_t *v)
{
	*v = ntc_read32(r);
}

static void read_u64(struct ntc_reader *r, uint64_t *v)
{
	*v = ntc_read64(r);
}

static void read_digest(struct ntc_reader *r, struct ntc_digest *v)
{
	struct ntc_view b = ntc_read_view(r, sizeof(v->bytes));

	*v = (struct ntc_digest){ { 0 } };
	if (b.len)
		memcpy(v->bytes, b.p, sizeof(v->bytes));
}

static void read_view(struct ntc_reader *r, struct ntc_view *v)
{
	*v = ntc_read_counted(r);
}

#define WRITE_FIELD(type, name) write_##type(w, &m->name);
#define READ_FIELD(type, name) read_##type(&r, &m->name);

#define DEFINE(lower, FIELDS) \
	void ntc_msg_##lower##_write(struct ntc_writer *w, const struct ntc_msg_##lower *m) \
	{ \
		(void)w; \
		(void)m; \
		FIELDS(WRITE_FIELD) \
	} \
	bool ntc_msg_##lower##_read(struct ntc_view payload, struct ntc_msg_##lower *m) \
	{ \
		struct ntc_reader r = ntc_reader(payload.p, payload.len); \
\
		*m = (struct ntc_msg_##lower){ 0 }; \
		FIELDS(READ_FIELD) \
		if (ntc_read_done(&r)) \
			return true; \
		*m = (struct ntc_msg_##lower){ 0 }; \
		return false; \
	}

NTC_EACH_MESSAGE(DEFINE)

const char *ntc_message_name(unsigned type)
{
	switch (type) {
#define X(name, number) \
	case number: \
		return #name;
		NTC_MESSAGE_LIST(X)
#undef X
	}
	return "UNKNOWN";
}

void ntc_row_write(struct ntc_writer *w, const struct ntc_row *row)
{
	write_digest(w, &row->digest);
	ntc_write32(w, row->kind);
	ntc_write32(w, row->uid);
	ntc_write64(w, row->size);
	ntc_write64(w, row->put_wall_ns);
	ntc_write64(w, row->cost_ns);
	ntc_write64(w, row->hits);
	ntc_write64(w, row->used);
	ntc_write64(w, row->parts);
	ntc_write64(w, row->key_len);
	ntc_write64(w, row->flags);
	ntc_write_bytes(w, row->producer, sizeof(row->producer));
	ntc_write_bytes(w, row->name, sizeof(row->name));
}

/* Printable ASCII, NUL-terminated, and nothing but zeros from there. */
static void read_text(struct ntc_reader *r, char text[NTC_ROW_TEXT])
{
	struct ntc_view b = ntc_read_view(r, NTC_ROW_TEXT);
	size_t len;

	if (!b.len)
		return;
	memcpy(text, b.p, NTC_ROW_TEXT);
	len = strnlen(text, NTC_ROW_TEXT);
	r->bad |= len == NTC_ROW_TEXT;
	for (size_t i = 0; i < NTC_ROW_TEXT; i++)
		r->bad |= i < len ? text[i] < 0x20 || text[i] > 0x7e : text[i] != '\0';
}

struct ntc_row ntc_row_read(struct ntc_reader *r)
{
	struct ntc_view whole = ntc_read_view(r, NTC_ROW_SIZE);
	struct ntc_reader in = ntc_reader(whole.p, whole.len);
	struct ntc_row row = { .kind = 0 };

	read_digest(&in, &row.digest);
	row.kind = ntc_read32(&in);
	row.uid = ntc_read32(&in);
	row.size = ntc_read64(&in);
	row.put_wall_ns = ntc_read64(&in);
	row.cost_ns = ntc_read64(&in);
	row.hits = ntc_read64(&in);
	row.used = ntc_read64(&in);
	row.parts = ntc_read64(&in);
	row.key_len = ntc_read64(&in);
	row.flags = ntc_read64(&in);
	read_text(&in, row.producer);
	read_text(&in, row.name);
	if (in.bad) {
		r->bad = true;
		return (struct ntc_row){ .kind = 0 };
	}
	return row;
}
