/* Bundles as files; see bundle.h. */
#include "bundle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "ctl.h"

#define READ_AHEAD (256u << 10)

/* --- writing ------------------------------------------------------------------------------ */

static bool write_bytes(struct ntc_ctl_pack *pack, const void *bytes, size_t len)
{
	pack->packed += len;
	return fwrite(bytes, 1, len, pack->file) == len;
}

static bool write_mark(struct ntc_ctl_pack *pack, struct ntc_bundle_mark mark)
{
	uint8_t bytes[NTC_BUNDLE_MARK];

	mark.id = pack->id;
	ntc_bundle_mark_write(&mark, bytes);
	return write_bytes(pack, bytes, sizeof(bytes));
}

/* Room for `need` bytes; grows at least by half, so that larger and larger entries cost little. */
static void make_room(uint8_t **p, size_t *room, size_t need)
{
	if (need <= *room)
		return;
	*room = need > *room + *room / 2 ? need : *room + *room / 2;
	*p = ntc_ctl_realloc(*p, *room, 1);
}

bool ntc_ctl_pack_begin(struct ntc_ctl_pack *pack, FILE *file, const struct ntc_digest *digests, size_t count)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();

	if (!zstd)
		ntc_ctl_no_memory();
	*pack = (struct ntc_ctl_pack){ .file = file, .zstd = zstd };
	/* None of these can fail. The content's size is stated by default. */
	(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, NTC_BUNDLE_LEVEL);
	(void)ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
	pack->id = ntc_bundle_id(ntc_view(digests, count * sizeof(*digests)));
	return write_mark(pack, (struct ntc_bundle_mark){ .sort = NTC_BUNDLE_HEAD, .number = count });
}

bool ntc_ctl_pack_add(struct ntc_ctl_pack *pack, const struct ntc_entry *entry, bool stamp)
{
	size_t size = ntc_entry_image_size(entry), bound = ZSTD_compressBound(size), len;
	struct ntc_bundle_mark mark = {
		.sort = NTC_BUNDLE_ITEM, .number = pack->items, .digest = ntc_entry_digest(entry), .image = size,
	};

	make_room(&pack->image, &pack->image_room, size);
	make_room(&pack->frame, &pack->frame_room, bound);
	ntc_entry_image(entry, stamp, pack->image);
	len = ZSTD_compress2(pack->zstd, pack->frame, pack->frame_room, pack->image, size);
	if (ZSTD_isError(len))
		ntc_ctl_no_memory(); /* nothing else can be wrong with room enough */
	mark.packed = len;
	mark.seal = ntc_bundle_seal(ntc_view(pack->frame, len));
	pack->items++;
	pack->bytes += size;
	return write_mark(pack, mark) && write_bytes(pack, pack->frame, len);
}

bool ntc_ctl_pack_end(struct ntc_ctl_pack *pack)
{
	return write_mark(pack, (struct ntc_bundle_mark){ .sort = NTC_BUNDLE_TAIL, .number = pack->items }) &&
	       fflush(pack->file) == 0;
}

void ntc_ctl_pack_release(struct ntc_ctl_pack *pack)
{
	ZSTD_freeCCtx(pack->zstd);
	free(pack->image);
	free(pack->frame);
}

/* --- reading ------------------------------------------------------------------------------ */

void ntc_ctl_unpack_init(struct ntc_ctl_unpack *unpack, int fd)
{
	*unpack = (struct ntc_ctl_unpack){ .fd = fd, .zstd = ZSTD_createDCtx() };
	if (!unpack->zstd)
		ntc_ctl_no_memory();
}

void ntc_ctl_unpack_release(struct ntc_ctl_unpack *unpack)
{
	ZSTD_freeDCtx(unpack->zstd);
	free(unpack->window);
	free(unpack->image);
}

/*
 * Read until the window has `need` bytes, or the end. It grows as bytes come, not as a mark promises them: a damaged or hostile
 * file gets no more memory than it has bytes.
 */
static bool read_more(struct ntc_ctl_unpack *unpack, size_t need)
{
	while (unpack->len < need && !unpack->eof) {
		ssize_t n;

		if (unpack->start) {
			memmove(unpack->window, unpack->window + unpack->start, unpack->len);
			unpack->start = 0;
		}
		if (unpack->room - unpack->len < READ_AHEAD)
			make_room(&unpack->window, &unpack->room, unpack->len + READ_AHEAD);
		n = read(unpack->fd, unpack->window + unpack->len, unpack->room - unpack->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			unpack->error = errno;
			return false;
		}
		unpack->eof = n == 0;
		unpack->len += (size_t)n;
	}
	return true;
}

static bool bad(struct ntc_ctl_unpacked_item *item, const char *why)
{
	snprintf(item->why, sizeof(item->why), "%s", why);
	return false;
}

/* The entry of an item; false with the reason. */
static bool unpack_entry(struct ntc_ctl_unpack *unpack, struct ntc_ctl_unpacked_item *item)
{
	const struct ntc_bundle_found *found = &item->found;
	size_t size = (size_t)found->mark.image, got;
	struct ntc_digest digest = ntc_bundle_seal(found->packed);

	if (memcmp(&digest, &found->mark.seal, sizeof(digest)) != 0)
		return bad(item, "it does not match its checksum");
	if (ZSTD_findFrameCompressedSize(found->packed.p, found->packed.len) != found->packed.len ||
	    ZSTD_getFrameContentSize(found->packed.p, found->packed.len) != size)
		return bad(item, "its frame is not one of zstd, or of another size");
	/* Not touched before it is written to: a lie about the size costs nothing. */
	make_room(&unpack->image, &unpack->image_room, size);
	got = ZSTD_decompressDCtx(unpack->zstd, unpack->image, size, found->packed.p, found->packed.len);
	if (ZSTD_isError(got))
		return bad(item, ZSTD_getErrorName(got));
	if (got != size)
		return bad(item, "its frame is not one of zstd, or of another size");
	if (ntc_entry_from_bytes(unpack->image, size, &item->entry) != NTC_OK)
		return bad(item, ntc_last_error());
	digest = ntc_entry_digest(item->entry);
	if (memcmp(&digest, &found->mark.digest, sizeof(digest)) == 0)
		return true;
	ntc_entry_unref(item->entry);
	item->entry = NULL;
	return bad(item, "it is another entry than its mark says");
}

void ntc_ctl_unpack_next(struct ntc_ctl_unpack *unpack, struct ntc_ctl_unpacked_item *item)
{
	size_t need = NTC_BUNDLE_MARK, used;
	enum ntc_bundle_event event;

	*item = (struct ntc_ctl_unpacked_item){ .what = NTC_CTL_UNPACKED_UNREADABLE };
	do {
		if (!read_more(unpack, need))
			return;
		event = ntc_bundle_next(&unpack->reader, ntc_view(unpack->window + unpack->start, unpack->len),
					unpack->eof, &item->found, &used);
		unpack->start += used;
		unpack->len -= used;
		need = item->found.need;
	} while (event == NTC_BUNDLE_MORE || event == NTC_BUNDLE_BEGIN);
	if (event == NTC_BUNDLE_ENTRY)
		item->what = unpack_entry(unpack, item) ? NTC_CTL_UNPACKED_ENTRY : NTC_CTL_UNPACKED_BAD;
	else if (event == NTC_BUNDLE_DAMAGE)
		item->what = NTC_CTL_UNPACKED_DAMAGE;
	else if (event == NTC_BUNDLE_END)
		item->what = NTC_CTL_UNPACKED_END;
	else
		item->what = event == NTC_BUNDLE_CUT ? NTC_CTL_UNPACKED_CUT : NTC_CTL_UNPACKED_ALIEN;
}
