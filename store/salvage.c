/*
 * Salvage; see salvage.h. SQLite's file format (sqlite.org/fileformat2.html): numbers are big-endian. A table's leaf
 * page begins with 13, and lists where its cells are; a cell is the length of a row, its id, and the row, the end of which
 * is in a chain of overflow pages if it is long. A row is a header with a type for each column, then the columns.
 */
#include "store/salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/image.h"
#include "store/sys.h"

enum {
	PAGE = NTC_SALVAGE_PAGE,
	FILE_HEADER = 100,      /* at the begin of the first page */
	LEAF_HEADER = 8,
	TABLE_LEAF = 13,
	WAL_HEADER = 32,
	FRAME_HEADER = 24,
	OVERFLOW = PAGE - 4,    /* bytes in an overflow page, behind the next one's number */
	LOCAL_MAX = PAGE - 35,  /* of a row in its cell; the least is: */
	LOCAL_MIN = (PAGE - 12) * 32 / 255 - 23,
};

/* A page in the WAL. */
struct frame {
	uint32_t page;
	uint64_t at;
};

struct ruin {
	int file, wal;
	uint64_t pages;         /* of the database */
	struct frame *frames;   /* committed ones; by page, then by age */
	size_t count, room;
	uint64_t budget;        /* overflow pages that may still be read: each belongs to one row */
	struct ntc_salvaged *salvaged;
	ntc_salvage_fn *each;
	void *ctx;
};

static uint32_t load_be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t load_be32(const uint8_t *p)
{
	return load_be16(p) << 16 | load_be16(p + 2);
}

/* Where the file ends there is nothing to salvage. Anything else may pass: it is no reason to lose what is there. */
static enum ntc_status unreadable(int err)
{
	return err == -ENODATA ? NTC_ST_OK : ntc_status_from_errno(-err);
}

/* --- the WAL ------------------------------------------------------------------------------ */

struct sums {
	uint32_t a, b;
	bool big_endian;        /* how the words are read that are summed up */
};

static void sum(struct sums *sums, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		sums->a += (sums->big_endian ? load_be32(p + i) : ntc_load32(p + i)) + sums->b;
		sums->b += (sums->big_endian ? load_be32(p + i + 4) : ntc_load32(p + i + 4)) + sums->a;
	}
}

static bool add_frame(struct ruin *ruin, uint32_t page, uint64_t at)
{
	if (ruin->count == ruin->room) {
		size_t room = ruin->room ? ruin->room * 2 : 256;
		struct frame *frames = reallocarray(ruin->frames, room, sizeof(*frames));

		if (!frames)
			return false;
		ruin->frames = frames;
		ruin->room = room;
	}
	ruin->frames[ruin->count++] = (struct frame){ .page = page, .at = at };
	return true;
}

static int by_page(const void *va, const void *vb)
{
	const struct frame *a = va, *b = vb;

	if (a->page != b->page)
		return a->page < b->page ? -1 : 1;
	return (a->at > b->at) - (a->at < b->at);
}

/* The frames up to the last commit, as far as each fits the one before it. Without a usable WAL: none. */
static enum ntc_status read_wal(struct ruin *ruin)
{
	uint8_t header[WAL_HEADER], frame[FRAME_HEADER + PAGE];
	struct sums sums = { 0 };
	uint64_t at = WAL_HEADER, in_file = ruin->pages;
	size_t committed = 0;
	int err = ruin->wal < 0 ? -ENODATA : ntc_sys_read(ruin->wal, header, sizeof(header), 0);

	if (err)
		return unreadable(err);
	sums.big_endian = header[3] & 1;
	sum(&sums, header, 24);
	if ((load_be32(header) | 1) != 0x377f0683 || load_be32(header + 4) != 3007000 ||
	    load_be32(header + 8) != PAGE || sums.a != load_be32(header + 24) || sums.b != load_be32(header + 28))
		return NTC_ST_OK;
	for (; !(err = ntc_sys_read(ruin->wal, frame, sizeof(frame), (off_t)at)); at += sizeof(frame)) {
		sum(&sums, frame, 8);
		sum(&sums, frame + FRAME_HEADER, PAGE);
		if (memcmp(frame + 8, header + 16, 8) != 0 || sums.a != load_be32(frame + 16) ||
		    sums.b != load_be32(frame + 20))
			break;
		if (!add_frame(ruin, load_be32(frame), at + FRAME_HEADER))
			return NTC_ST_NO_MEMORY;
		/* A commit says how many pages the database has now. */
		if (load_be32(frame + 4)) {
			committed = ruin->count;
			ruin->pages = load_be32(frame + 4);
		}
	}
	if (err && unreadable(err))
		return unreadable(err);
	ruin->count = committed;
	if (committed)
		qsort(ruin->frames, committed, sizeof(*ruin->frames), by_page);
	/* Whatever it says: no page is in neither. */
	if (ruin->pages > in_file + committed)
		ruin->pages = in_file + committed;
	return NTC_ST_OK;
}

/* --- pages -------------------------------------------------------------------------------- */

/* OK with *there false if there is no such page. */
static enum ntc_status read_page(const struct ruin *ruin, uint64_t page, uint8_t out[PAGE], bool *there)
{
	size_t low = 0, high = ruin->count;
	int err;

	*there = false;
	if (!page || page > ruin->pages)
		return NTC_ST_OK;
	/* The first frame of a later page; the one before it is this page's latest, if there is any. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ruin->frames[middle].page <= page)
			low = middle + 1;
		else
			high = middle;
	}
	if (low && ruin->frames[low - 1].page == page)
		err = ntc_sys_read(ruin->wal, out, PAGE, (off_t)ruin->frames[low - 1].at);
	else
		err = ntc_sys_read(ruin->file, out, PAGE, (off_t)((page - 1) * PAGE));
	*there = !err;
	return err ? unreadable(err) : NTC_ST_OK;
}

/* --- rows --------------------------------------------------------------------------------- */

/* SQLite's variable-length number: seven bits a byte, most significant first, eight in the ninth. */
static uint64_t read_varint(struct ntc_reader *r)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++) {
		uint8_t byte = ntc_read8(r);

		v = v << 7 | (byte & 0x7f);
		if (!(byte & 0x80))
			return v;
	}
	return v << 8 | ntc_read8(r);
}

/* The rest of a row, from the chain of overflow pages that begins with `page`; OK with *whole false if it breaks off. */
static enum ntc_status read_chain(struct ruin *ruin, uint32_t page, uint8_t *out, size_t len, bool *whole)
{
	uint8_t bytes[PAGE];

	for (*whole = true; len && *whole;) {
		size_t n = len < OVERFLOW ? len : OVERFLOW;
		enum ntc_status st = ruin->budget ? read_page(ruin, page, bytes, whole) : NTC_ST_OK;

		if (st)
			return st;
		*whole &= ruin->budget > 0;
		if (!*whole)
			break;
		ruin->budget--;
		memcpy(out, bytes + 4, n);
		out += n;
		len -= n;
		page = load_be32(bytes);
	}
	return NTC_ST_OK;
}

/* The image that begins with `local` and has `len` bytes, given on if it is one. */
static enum ntc_status take_image(struct ruin *ruin, struct ntc_view local, uint32_t chain, size_t len)
{
	struct ntc_buffer *image = ntc_buffer_new(len);
	enum ntc_status st;
	struct ntc_row row;
	bool whole;

	if (!image)
		return NTC_ST_NO_MEMORY;
	memcpy(image->bytes, local.p, local.len);
	st = read_chain(ruin, chain, image->bytes + local.len, len - local.len, &whole);
	if (st)
		goto out;
	if (whole && !ntc_image_verify(ntc_view(image->bytes, len), NULL, &row, NULL)) {
		ruin->salvaged->images++;
		st = ruin->each(ruin->ctx, &row, image);
	} else {
		ruin->salvaged->lost++;
	}
out:
	ntc_buffer_unref(image);
	return st;
}

/* A cell: if its row could be one of (NULL for the id, a blob), look at the blob. */
static enum ntc_status take_cell(struct ruin *ruin, struct ntc_view cell)
{
	struct ntc_reader r = ntc_reader(cell.p, cell.len), columns;
	uint64_t len = read_varint(&r), local = len, header, id, blob;
	uint32_t chain = 0;
	struct ntc_view row;

	(void)read_varint(&r); /* its id: the new index gives it another */
	if (r.bad || len < NTC_IMAGE_MIN || len > NTC_SALVAGE_IMAGE_MAX + 16)
		return NTC_ST_OK;
	if (len > LOCAL_MAX) {
		local = LOCAL_MIN + (len - LOCAL_MIN) % OVERFLOW;
		if (local > LOCAL_MAX)
			local = LOCAL_MIN;
	}
	row = ntc_read_view(&r, local);
	if (local < len) {
		struct ntc_view next = ntc_read_view(&r, 4);

		chain = next.len ? load_be32(next.p) : 0;
	}
	if (r.bad)
		return NTC_ST_OK;
	columns = ntc_reader(row.p, row.len);
	header = read_varint(&columns);
	id = read_varint(&columns);
	blob = read_varint(&columns);
	/* Even types from 12 on are blobs of (type - 12) / 2 bytes. */
	if (columns.bad || header != row.len - columns.left || id != 0 || blob < 12 || blob % 2 ||
	    (blob - 12) / 2 != len - header || len - header < NTC_IMAGE_MIN || len - header > NTC_SALVAGE_IMAGE_MAX)
		return NTC_ST_OK;
	return take_image(ruin, ntc_view(columns.p, columns.left), chain, (size_t)(len - header));
}

static enum ntc_status take_page(struct ruin *ruin, uint64_t page)
{
	uint8_t bytes[PAGE], *begin = bytes + (page == 1 ? FILE_HEADER : 0);
	size_t cells, first;
	bool there;
	enum ntc_status st = read_page(ruin, page, bytes, &there);

	if (st || !there || begin[0] != TABLE_LEAF)
		return st;
	cells = load_be16(begin + 3);
	first = (size_t)(begin - bytes) + LEAF_HEADER + 2 * cells;
	for (size_t i = 0; i < cells && first < PAGE && !st; i++) {
		size_t at = load_be16(begin + LEAF_HEADER + 2 * i);

		if (at >= first && at < PAGE)
			st = take_cell(ruin, ntc_view(bytes + at, PAGE - at));
	}
	return st;
}

enum ntc_status ntc_salvage(int dir, const char *name, ntc_salvage_fn *each, void *ctx, struct ntc_salvaged *salvaged,
			    struct ntc_reason *reason)
{
	struct ruin ruin = { .file = -1, .wal = -1, .salvaged = salvaged, .each = each, .ctx = ctx };
	enum ntc_status st = NTC_ST_OK;
	char wal[128];
	struct stat file;
	int err;

	*salvaged = (struct ntc_salvaged){ 0 };
	(void)snprintf(wal, sizeof(wal), "%s-wal", name);
	err = ruin.file = ntc_sys_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (err >= 0)
		err = ntc_sys_stat(ruin.file, &file);
	if (err >= 0) {
		err = ruin.wal = ntc_sys_open(dir, wal, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
		if (err == -ENOENT)
			err = 0;
	}
	if (err < 0) {
		st = ntc_reject(reason, err == -ENOENT ? NTC_ST_NOT_FOUND : ntc_status_from_errno(-err), "%s: %s", name,
				strerror(-err));
		goto out;
	}
	ruin.pages = (uint64_t)file.st_size / PAGE;
	st = read_wal(&ruin);
	ruin.budget = ruin.pages;
	for (uint64_t page = 1; page <= ruin.pages && !st; page++) {
		salvaged->pages++;
		st = take_page(&ruin, page);
	}
	if (st)
		st = ntc_reject(reason, st, "%s: %s", name, ntc_status_text(st));
out:
	free(ruin.frames);
	ntc_sys_close(ruin.file);
	ntc_sys_close(ruin.wal);
	return st;
}
