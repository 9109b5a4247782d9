/* Damage; see damage.h. Where the fields of an image are is reckoned here anew from docs/entry.md. */
#include "tests/fault/damage.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "proto/entry.h"
#include "tests/fault/campaign.h"

enum { BLOCK = 512, WAL_HEADER = 32, FRAME_HEADER = 24, GROWTH = 4096 };

const char *const ntc_damage_names[NTC_DAMAGES] = {
#define X(name, text) text,
	NTC_DAMAGE_LIST(X)
#undef X
};

static size_t below(size_t n)
{
	return n ? (size_t)(ntc_fault_random() % n) : 0;
}

/* --- copies ------------------------------------------------------------------------------- */

void ntc_copy_read(struct ntc_copy *copy, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	ntc_fault_expect(fd >= 0 && fstat(fd, &st) == 0, "%s cannot be read", path);
	ntc_copy_release(copy);
	copy->len = (size_t)st.st_size;
	copy->room = copy->len + GROWTH;
	copy->bytes = malloc(copy->room);
	ntc_fault_expect(copy->bytes && read(fd, copy->bytes, copy->len) == (ssize_t)copy->len, "%s cannot be read", path);
	close(fd);
}

void ntc_copy_write(const struct ntc_copy *copy, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ntc_fault_expect(fd >= 0 && write(fd, copy->bytes, copy->len) == (ssize_t)copy->len, "%s cannot be written", path);
	close(fd);
}

void ntc_copy_release(struct ntc_copy *copy)
{
	free(copy->bytes);
	*copy = (struct ntc_copy){ 0 };
}

/* --- ways to damage bytes ----------------------------------------------------------------- */

static bool flip(struct ntc_copy *copy, size_t at, size_t len)
{
	if (!len || at + len > copy->len)
		return false;
	copy->bytes[at + below(len)] ^= (uint8_t)(1u << below(8));
	return true;
}

/* At least one byte goes, and at least `keep` stay. */
static bool cut(struct ntc_copy *copy, size_t keep)
{
	if (copy->len <= keep)
		return false;
	copy->len = keep + below(copy->len - keep);
	return true;
}

static bool zero(struct ntc_copy *copy, size_t at, size_t len)
{
	static const uint8_t zeros[65536];
	bool was = true;

	if (at + len > copy->len)
		len = copy->len - at;
	if (len > sizeof(zeros) || !len)
		return false;
	was = memcmp(copy->bytes + at, zeros, len) == 0;
	memset(copy->bytes + at, 0, len);
	return !was;
}

/* Two of the `size`-byte blocks from `at` on. */
static bool swap(struct ntc_copy *copy, size_t at, size_t size)
{
	size_t count = copy->len > at ? (copy->len - at) / size : 0, a = below(count), b = below(count);
	uint8_t kept[8192];
	bool differ;

	if (count < 2 || size > sizeof(kept))
		return false;
	memcpy(kept, copy->bytes + at + a * size, size);
	differ = memcmp(kept, copy->bytes + at + b * size, size) != 0;
	memcpy(copy->bytes + at + a * size, copy->bytes + at + b * size, size);
	memcpy(copy->bytes + at + b * size, kept, size);
	return differ;
}

/* --- blobs -------------------------------------------------------------------------------- */

static size_t align_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

/* A byte of a part, or one between or behind parts. */
static bool flip_part(struct ntc_copy *copy, size_t table, size_t parts, bool padding)
{
	size_t row = below(parts) * 32, at, len, end;

	if (!parts)
		return false;
	at = (size_t)ntc_load64(copy->bytes + table + row + 8);
	len = (size_t)ntc_load64(copy->bytes + table + row + 16);
	end = align_up(at + len, 64);
	return padding ? flip(copy, at + len, end - at - len) : flip(copy, at, len);
}

bool ntc_damage_blob(struct ntc_copy *copy, enum ntc_damage damage, const struct ntc_copy *other)
{
	size_t key = ntc_load32(copy->bytes + 32), notes = ntc_load32(copy->bytes + 36);
	size_t parts = ntc_load32(copy->bytes + 40), names = ntc_load32(copy->bytes + 44);
	size_t table = align_up(64 + key + notes, 8);

	switch (damage) {
	case NTC_DAMAGE_MAGIC:
		return flip(copy, 0, 8);
	case NTC_DAMAGE_CHECKSUM:
		return flip(copy, 8, 16);
	case NTC_DAMAGE_LENGTHS:
		return flip(copy, 24, 24);
	case NTC_DAMAGE_ZEROS:
		return flip(copy, 48, 16);
	case NTC_DAMAGE_KEY:
		return flip(copy, 64, key);
	case NTC_DAMAGE_NOTES:
		return flip(copy, 64 + key, notes);
	case NTC_DAMAGE_TABLE:
		return flip(copy, table, parts * 32);
	case NTC_DAMAGE_NAMES:
		return flip(copy, table + parts * 32, names);
	case NTC_DAMAGE_PARTS:
		return flip_part(copy, table, parts, false);
	case NTC_DAMAGE_PADDING:
		return flip_part(copy, table, parts, true);
	case NTC_DAMAGE_STAMP:
		return flip(copy, copy->len - NTC_STAMP_SIZE, NTC_STAMP_SIZE);
	case NTC_DAMAGE_CUT:
		return cut(copy, 0);
	case NTC_DAMAGE_GROWN:
		memset(copy->bytes + copy->len, (int)below(256), GROWTH);
		copy->len += 1 + below(GROWTH);
		return true;
	case NTC_DAMAGE_ZEROED:
		/* Not the whole stamp: zeros are one that says nothing. */
		return zero(copy, below(copy->len - NTC_STAMP_SIZE) / BLOCK * BLOCK, BLOCK) &&
		       copy->bytes[copy->len - NTC_STAMP_SIZE] != 0;
	case NTC_DAMAGE_SWAPPED:
		return swap(copy, 0, BLOCK);
	case NTC_DAMAGE_FOREIGN:
		if (other->len > copy->room)
			return false;
		memcpy(copy->bytes, other->bytes, other->len);
		copy->len = other->len;
		return true;
	default:
		return false;
	}
}

/* --- the index ---------------------------------------------------------------------------- */

static enum ntc_damage class_of(const char *table, const char *type)
{
	bool leaf = strcmp(type, "leaf") == 0;

	if (strcmp(table, "sqlite_schema") == 0)
		return NTC_DAMAGE_DB_SCHEMA;
	if (strcmp(table, "entry") == 0)
		return leaf ? NTC_DAMAGE_DB_ENTRY_LEAF : NTC_DAMAGE_DB_ENTRY_INNER;
	if (strcmp(table, "entry_value") == 0)
		return leaf ? NTC_DAMAGE_DB_ORDER_LEAF : NTC_DAMAGE_DB_ORDER_INNER;
	if (strcmp(table, "image") == 0 && strcmp(type, "overflow") == 0)
		return NTC_DAMAGE_DB_IMAGE_OVERFLOW;
	if (strcmp(table, "image") == 0)
		return leaf ? NTC_DAMAGE_DB_IMAGE_LEAF : NTC_DAMAGE_DB_IMAGE_INNER;
	return NTC_DAMAGE_DB_VALUE;
}

void ntc_pages_read(struct ntc_pages *pages, const char *path)
{
	sqlite3_stmt *stmt = NULL;
	struct stat st;
	sqlite3 *db;

	ntc_fault_expect(stat(path, &st) == 0 && sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
				 sqlite3_prepare_v2(db, "SELECT pageno, name, pagetype, pgsize + unused FROM dbstat", -1,
						    &stmt, NULL) == SQLITE_OK,
			 "the pages of %s cannot be listed", path);
	pages->size = 4096;
	pages->count = (size_t)st.st_size / pages->size;
	pages->class_of = malloc(pages->count);
	ntc_fault_expect(pages->class_of, "no memory");
	/* What belongs to no table is free. */
	memset(pages->class_of, NTC_DAMAGE_DB_FREE, pages->count);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		size_t page = (size_t)sqlite3_column_int64(stmt, 0);

		if (page >= 1 && page <= pages->count)
			pages->class_of[page - 1] = (uint8_t)class_of((const char *)sqlite3_column_text(stmt, 1),
								      (const char *)sqlite3_column_text(stmt, 2));
	}
	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

/* A random page of the class; false if there is none. */
static bool page_of(const struct ntc_pages *pages, enum ntc_damage class, size_t *at)
{
	size_t from = below(pages->count);

	for (size_t i = 0; i < pages->count; i++) {
		size_t page = (from + i) % pages->count;

		if (pages->class_of[page] == class) {
			*at = page * pages->size;
			return true;
		}
	}
	return false;
}

static bool damage_wal(struct ntc_copy *wal, size_t page, enum ntc_damage damage)
{
	size_t frame = FRAME_HEADER + page, frames = wal->len > WAL_HEADER ? (wal->len - WAL_HEADER) / frame : 0;
	size_t at = WAL_HEADER + below(frames) * frame;

	if (!frames)
		return false;
	switch (damage) {
	case NTC_DAMAGE_WAL_HEADER:
		return flip(wal, 0, WAL_HEADER);
	case NTC_DAMAGE_WAL_FRAME:
		return flip(wal, at, FRAME_HEADER);
	case NTC_DAMAGE_WAL_PAGE:
		return flip(wal, at + FRAME_HEADER, page);
	case NTC_DAMAGE_WAL_CUT:
		return cut(wal, 0);
	default:
		return swap(wal, WAL_HEADER, frame);
	}
}

bool ntc_damage_index(struct ntc_copy *db, struct ntc_copy *wal, const struct ntc_pages *pages, enum ntc_damage damage)
{
	size_t at;

	switch (damage) {
	case NTC_DAMAGE_DB_HEADER:
		return flip(db, 0, 100);
	case NTC_DAMAGE_DB_SCHEMA:
		return page_of(pages, damage, &at) && flip(db, at ? at : 100, pages->size - (at ? 0 : 100));
	case NTC_DAMAGE_DB_CUT:
		return cut(db, 0);
	case NTC_DAMAGE_DB_ZEROED:
		return zero(db, below(db->len) / pages->size * pages->size, pages->size);
	case NTC_DAMAGE_DB_SWAPPED:
		return swap(db, 0, pages->size);
	case NTC_DAMAGE_WAL_HEADER:
	case NTC_DAMAGE_WAL_FRAME:
	case NTC_DAMAGE_WAL_PAGE:
	case NTC_DAMAGE_WAL_CUT:
	case NTC_DAMAGE_WAL_SWAPPED:
		return damage_wal(wal, pages->size, damage);
	default:
		/* One in four hits the page's own head, where there is most to go wrong. */
		return page_of(pages, damage, &at) && flip(db, at, below(4) ? pages->size : 24);
	}
}
