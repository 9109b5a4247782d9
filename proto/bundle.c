/* Bundles: their marks, and the way from mark to mark; see bundle.h. */
#include "proto/bundle.h"

#include "proto/digest.h"
#include "proto/entry.h"

/* What every mark begins with: a skippable frame of zstd, its length, "NTCBNDL" and the format. */
static const uint8_t opening[16] = {
	0x5b, 0x2a, 0x4d, 0x18, NTC_BUNDLE_MARK - 8, 0, 0, 0, 'N', 'T', 'C', 'B', 'N', 'D', 'L', 1,
};
#define SEALED 32           /* the checksum is of the bytes from here on */

struct ntc_digest ntc_bundle_id(struct ntc_view digests)
{
	return ntc_checksum(digests);
}

struct ntc_digest ntc_bundle_seal(struct ntc_view packed)
{
	return ntc_checksum(packed);
}

uint64_t ntc_bundle_packed_max(uint64_t image)
{
	return image + image / 128 + 1024;
}

/* --- marks -------------------------------------------------------------------------------- */

static struct ntc_digest checksum_of(const uint8_t mark[NTC_BUNDLE_MARK])
{
	return ntc_checksum(ntc_view(mark + SEALED, NTC_BUNDLE_MARK - SEALED));
}

void ntc_bundle_mark_write(const struct ntc_bundle_mark *mark, uint8_t out[NTC_BUNDLE_MARK])
{
	struct ntc_digest checksum;

	memcpy(out, opening, sizeof(opening));
	memcpy(out + 32, mark->id.bytes, 16);
	ntc_store32(out + 48, mark->sort);
	ntc_store32(out + 52, 0);
	ntc_store64(out + 56, mark->number);
	memcpy(out + 64, mark->digest.bytes, 16);
	ntc_store64(out + 80, mark->image);
	ntc_store64(out + 88, mark->packed);
	memcpy(out + 96, mark->seal.bytes, 16);
	checksum = checksum_of(out);
	memcpy(out + 16, checksum.bytes, sizeof(checksum.bytes));
}

/* Whether the sizes are those of an image and of its frame. */
static bool sizes_good(const struct ntc_bundle_mark *mark)
{
	return mark->image >= NTC_BODY_HEADER + NTC_STAMP_SIZE && mark->image <= NTC_BODY_MAX + NTC_STAMP_SIZE &&
	       mark->image % NTC_BODY_ALIGN == 0 && mark->packed > 0 &&
	       mark->packed <= ntc_bundle_packed_max(mark->image);
}

bool ntc_bundle_mark_read(const uint8_t bytes[NTC_BUNDLE_MARK], struct ntc_bundle_mark *mark)
{
	static const struct ntc_digest none;
	struct ntc_bundle_mark m = { 0 };
	struct ntc_digest checksum;
	bool item;

	*mark = m;
	if (memcmp(bytes, opening, sizeof(opening)) != 0)
		return false;
	checksum = checksum_of(bytes);
	if (memcmp(bytes + 16, checksum.bytes, sizeof(checksum.bytes)) != 0)
		return false;
	memcpy(m.id.bytes, bytes + 32, sizeof(m.id.bytes));
	m.sort = ntc_load32(bytes + 48);
	m.number = ntc_load64(bytes + 56);
	memcpy(m.digest.bytes, bytes + 64, sizeof(m.digest.bytes));
	m.image = ntc_load64(bytes + 80);
	m.packed = ntc_load64(bytes + 88);
	memcpy(m.seal.bytes, bytes + 96, sizeof(m.seal.bytes));
	item = m.sort == NTC_BUNDLE_ITEM;
	if ((!item && m.sort != NTC_BUNDLE_HEAD && m.sort != NTC_BUNDLE_TAIL) || ntc_load32(bytes + 52) != 0 ||
	    m.number > NTC_BUNDLE_ITEMS_MAX - item)
		return false;
	if (item ? !sizes_good(&m) : m.image || m.packed || !ntc_digest_equal(&m.digest, &none) ||
			!ntc_digest_equal(&m.seal, &none))
		return false;
	*mark = m;
	return true;
}

/* --- from mark to mark -------------------------------------------------------------------- */

/* Whether a good mark may stand here. */
static bool may_follow(const struct ntc_bundle_reader *reader, const struct ntc_bundle_mark *mark)
{
	if (!reader->has_id)
		return mark->sort == NTC_BUNDLE_HEAD;
	if (mark->sort == NTC_BUNDLE_HEAD || !ntc_digest_equal(&mark->id, &reader->id) || mark->number < reader->items)
		return false;
	return mark->sort == NTC_BUNDLE_TAIL || !reader->has_last ||
	       memcmp(mark->digest.bytes, reader->last.bytes, sizeof(mark->digest.bytes)) > 0;
}

/* What follows is damaged, if that was not known yet. */
static void broke(struct ntc_bundle_reader *reader)
{
	if (!reader->broken)
		reader->broken_at = reader->offset;
	reader->broken = true;
}

/* Go on by `n` bytes. */
static void pass(struct ntc_bundle_reader *reader, struct ntc_view *rest, size_t n)
{
	rest->p += n;
	rest->len -= n;
	reader->offset += n;
}

/* A bundle whose head is damaged goes on with a good mark in the second place. */
static bool go_on_without_head(struct ntc_bundle_reader *reader, struct ntc_view *rest)
{
	struct ntc_bundle_mark mark;

	if (rest->len < 2 * NTC_BUNDLE_MARK || !ntc_bundle_mark_read(rest->p + NTC_BUNDLE_MARK, &mark) ||
	    mark.sort == NTC_BUNDLE_HEAD)
		return false;
	reader->id = mark.id;
	reader->has_id = true;
	broke(reader);
	pass(reader, rest, NTC_BUNDLE_MARK);
	return true;
}

/* To the next byte that a mark could begin with, at least one further. */
static void pass_damage(struct ntc_bundle_reader *reader, struct ntc_view *rest)
{
	const uint8_t *next;

	broke(reader);
	next = rest->len > 1 ? memchr(rest->p + 1, opening[0], rest->len - 1) : NULL;
	pass(reader, rest, next ? (size_t)(next - rest->p) : rest->len);
}

/* Tell of the damage that lies behind, and of items that are missing before number `next`. */
static enum ntc_bundle_event damage(struct ntc_bundle_reader *reader, uint64_t next, struct ntc_bundle_found *found)
{
	found->at = reader->broken ? reader->broken_at : reader->offset;
	found->bytes = reader->offset - found->at;
	found->first = reader->items;
	found->missing = next - reader->items;
	reader->missing += found->missing;
	reader->items = next;
	reader->broken = false;
	return NTC_BUNDLE_DAMAGE;
}

/* The end came where a mark or a frame had to be. */
static enum ntc_bundle_event cut(struct ntc_bundle_reader *reader, struct ntc_view *rest, struct ntc_bundle_found *found)
{
	if (!reader->has_id)
		return NTC_BUNDLE_ALIEN;
	found->at = reader->broken ? reader->broken_at : reader->offset;
	pass(reader, rest, rest->len);
	found->bytes = reader->offset - found->at;
	return NTC_BUNDLE_CUT;
}

static enum ntc_bundle_event more(size_t need, struct ntc_bundle_found *found)
{
	found->need = need;
	return NTC_BUNDLE_MORE;
}

/* Behind the tail. */
static enum ntc_bundle_event finish(struct ntc_bundle_reader *reader, struct ntc_view *rest, bool eof,
				    struct ntc_bundle_found *found)
{
	if (rest->len) {
		broke(reader);
		pass(reader, rest, rest->len);
	}
	if (!eof)
		return more(1, found);
	return reader->broken ? damage(reader, reader->items, found) : NTC_BUNDLE_END;
}

static enum ntc_bundle_event next(struct ntc_bundle_reader *reader, struct ntc_view *rest, bool eof,
				  struct ntc_bundle_found *found)
{
	struct ntc_bundle_mark mark;

	if (reader->ended)
		return finish(reader, rest, eof, found);
	for (;;) {
		if (rest->len < NTC_BUNDLE_MARK)
			return eof ? cut(reader, rest, found) : more(NTC_BUNDLE_MARK, found);
		if (ntc_bundle_mark_read(rest->p, &mark) && may_follow(reader, &mark))
			break;
		if (reader->has_id)
			pass_damage(reader, rest);
		else if (rest->len < 2 * NTC_BUNDLE_MARK && !eof)
			return more(2 * NTC_BUNDLE_MARK, found);
		else if (!go_on_without_head(reader, rest))
			return NTC_BUNDLE_ALIEN;
	}
	if (mark.sort == NTC_BUNDLE_HEAD) {
		reader->id = mark.id;
		reader->has_id = true;
		reader->meant = mark.number;
		pass(reader, rest, NTC_BUNDLE_MARK);
		found->mark = mark;
		return NTC_BUNDLE_BEGIN;
	}
	if (reader->broken || mark.number != reader->items)
		return damage(reader, mark.number, found);
	if (mark.sort == NTC_BUNDLE_TAIL) {
		reader->ended = true;
		pass(reader, rest, NTC_BUNDLE_MARK);
		return finish(reader, rest, eof, found);
	}
	if (rest->len - NTC_BUNDLE_MARK < mark.packed)
		return eof ? cut(reader, rest, found) : more(NTC_BUNDLE_MARK + (size_t)mark.packed, found);
	found->mark = mark;
	found->packed = ntc_view(rest->p + NTC_BUNDLE_MARK, (size_t)mark.packed);
	reader->items++;
	reader->last = mark.digest;
	reader->has_last = true;
	pass(reader, rest, NTC_BUNDLE_MARK + (size_t)mark.packed);
	return NTC_BUNDLE_ENTRY;
}

enum ntc_bundle_event ntc_bundle_next(struct ntc_bundle_reader *reader, struct ntc_view window, bool eof,
				      struct ntc_bundle_found *found, size_t *used)
{
	struct ntc_view rest = window;
	enum ntc_bundle_event event;

	*found = (struct ntc_bundle_found){ .need = 0 };
	event = next(reader, &rest, eof, found);
	*used = window.len - rest.len;
	return event;
}
