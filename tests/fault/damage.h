/*
 * Damage: what a bad disk, a bad cable or a clumsy hand does to a file, put into classes by what is hit. Works on copies
 * in memory.
 */
#ifndef NTC_TESTS_FAULT_DAMAGE_H
#define NTC_TESTS_FAULT_DAMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is hit. The first ones are flips of one bit in a field of an image (docs/entry.md). */
#define NTC_DAMAGE_LIST(X) \
	X(MAGIC, "image: magic") \
	X(CHECKSUM, "image: checksum") \
	X(LENGTHS, "image: lengths") \
	X(ZEROS, "image: zeros of the header") \
	X(KEY, "image: key") \
	X(NOTES, "image: notes") \
	X(TABLE, "image: part table") \
	X(NAMES, "image: part names") \
	X(PARTS, "image: parts") \
	X(PADDING, "image: padding") \
	X(STAMP, "image: stamp") \
	X(CUT, "file: tail cut off") \
	X(GROWN, "file: bytes behind its end") \
	X(ZEROED, "file: a block of zeros") \
	X(SWAPPED, "file: two blocks swapped") \
	X(FOREIGN, "file: another entry's content") \
	/* flips of one bit in a page of the index */ \
	X(DB_HEADER, "index: header of the file") \
	X(DB_SCHEMA, "index: schema page") \
	X(DB_ENTRY_LEAF, "index: leaf of entry") \
	X(DB_ENTRY_INNER, "index: interior of entry") \
	X(DB_ORDER_LEAF, "index: leaf of entry_value") \
	X(DB_ORDER_INNER, "index: interior of entry_value") \
	X(DB_IMAGE_LEAF, "index: leaf of image") \
	X(DB_IMAGE_INNER, "index: interior of image") \
	X(DB_IMAGE_OVERFLOW, "index: overflow of image") \
	X(DB_VALUE, "index: page of value") \
	X(DB_FREE, "index: freelist") \
	X(DB_CUT, "index: tail cut off") \
	X(DB_ZEROED, "index: a page of zeros") \
	X(DB_SWAPPED, "index: two pages swapped") \
	X(WAL_HEADER, "WAL: header") \
	X(WAL_FRAME, "WAL: header of a frame") \
	X(WAL_PAGE, "WAL: page of a frame") \
	X(WAL_CUT, "WAL: tail cut off") \
	X(WAL_SWAPPED, "WAL: two frames swapped")

enum ntc_damage {
#define X(name, text) NTC_DAMAGE_##name,
	NTC_DAMAGE_LIST(X)
#undef X
	NTC_DAMAGES,
};
extern const char *const ntc_damage_names[NTC_DAMAGES];

/* A file in memory, with room to grow. */
struct ntc_copy {
	uint8_t *bytes;
	size_t len, room;
};

void ntc_copy_read(struct ntc_copy *copy, const char *path);
/* In place, as long as it is now. */
void ntc_copy_write(const struct ntc_copy *copy, const char *path);
void ntc_copy_release(struct ntc_copy *copy);

/*
 * Damage a blob file's copy in one way of the first two groups; `other` is what FOREIGN puts there. False if this copy has
 * nothing of that class, or would be as it was.
 */
bool ntc_damage_blob(struct ntc_copy *copy, enum ntc_damage damage, const struct ntc_copy *other);

/* The class of each page of an index file, asked of SQLite once; page 1 is DB_SCHEMA. */
struct ntc_pages {
	uint8_t *class_of;      /* by page number - 1 */
	size_t count, size;
};
void ntc_pages_read(struct ntc_pages *pages, const char *path);

/* Damage an index or its WAL (those classes that begin so). False as above. */
bool ntc_damage_index(struct ntc_copy *db, struct ntc_copy *wal, const struct ntc_pages *pages, enum ntc_damage damage);

#endif
