/* Images verified and described; see image.h. */
#include "store/image.h"

#include "proto/key.h"

/* The string field of that name, as text that is safe to show: what is not printable ASCII becomes '?'. */
static bool take_text(struct ntc_view list, const char *name, char out[NTC_ROW_TEXT])
{
	struct ntc_field field;
	size_t len;

	if (!list.len || !ntc_key_find(list, name, &field) || field.type != NTC_TYPE_STRING)
		return false;
	len = field.value.len < NTC_ROW_TEXT - 1 ? field.value.len : NTC_ROW_TEXT - 1;
	for (size_t i = 0; i < len; i++)
		out[i] = field.value.p[i] >= 0x20 && field.value.p[i] < 0x7f ? (char)field.value.p[i] : '?';
	return true;
}

void ntc_image_describe(const struct ntc_image *image, uint64_t size, const struct ntc_digest *digest,
			struct ntc_row *row)
{
	static const char *const names[] = { "program", "library", "name" };
	struct ntc_stamp stamp;

	/* A stamp that says nothing leaves zeros. */
	(void)ntc_stamp_read(image->stamp, &image->body.checksum, &stamp);
	*row = (struct ntc_row){
		.digest = *digest,
		.kind = image->body.kind,
		.uid = stamp.uid,
		.size = size,
		.put_wall_ns = stamp.put_wall_ns,
		.cost_ns = stamp.cost_ns,
		.parts = image->body.part_count,
		.key_len = image->body.key.len,
	};
	(void)take_text(image->body.notes, "producer", row->producer); /* "" without one */
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (take_text(image->body.key, names[i], row->name))
			break;
	}
}

enum ntc_status ntc_image_verify(struct ntc_view bytes, const struct ntc_digest *digest, struct ntc_row *row,
				 struct ntc_reason *reason)
{
	struct ntc_digest made;
	struct ntc_stamp stamp;
	struct ntc_image image;
	enum ntc_status st;

	*row = (struct ntc_row){ .kind = 0 };
	if (ntc_image_parse(bytes, &image, reason))
		return NTC_ST_BAD_IMAGE;
	if (ntc_body_verify(&image.body))
		return ntc_reject(reason, NTC_ST_BAD_IMAGE, "the body does not match its checksum");
	made = ntc_key_digest(image.body.key);
	if (digest && !ntc_digest_equal(&made, digest))
		return ntc_reject(reason, NTC_ST_BAD_IMAGE, "the key has another digest than its name");
	st = ntc_stamp_read(image.stamp, &image.body.checksum, &stamp);
	if (st && st != NTC_ST_NOT_FOUND)
		return ntc_reject(reason, NTC_ST_BAD_IMAGE, "the stamp is damaged");
	ntc_image_describe(&image, bytes.len, &made, row);
	return NTC_ST_OK;
}
