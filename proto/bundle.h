/*
 * Bundles: entries in one file that zstd can read (docs/bundle.md).
 *
 *     head | item's mark, zstd frame | item's mark, zstd frame | ... | tail
 *
 * Here are the marks, and the reader that finds its way from mark to mark, also through damage. Compressing, and reading
 * from a file, are the caller's: what it has of the bundle is the *window*, from the first byte that the reader did not
 * use yet to the last that came.
 *
 * Pure: no allocation, no I/O. Views are borrowed from the window.
 */
#ifndef NTC_PROTO_BUNDLE_H
#define NTC_PROTO_BUNDLE_H

#include "proto/bytes.h"
#include "proto/ntcache_types.h"

#define NTC_BUNDLE_MARK 112                 /* bytes of a mark */
#define NTC_BUNDLE_LEVEL 3                  /* of zstd: the same entries give the same bytes */
#define NTC_BUNDLE_ITEMS_MAX (UINT64_C(1) << 40)

enum ntc_bundle_sort { NTC_BUNDLE_HEAD = 1, NTC_BUNDLE_ITEM = 2, NTC_BUNDLE_TAIL = 3 };

struct ntc_bundle_mark {
	enum ntc_bundle_sort sort;
	struct ntc_digest id;       /* the bundle's */
	uint64_t number;            /* head: entries that were meant; item: its number; tail: items */
	struct ntc_digest digest;   /* item: of its key */
	uint64_t image;             /* item: bytes of the image */
	uint64_t packed;            /* item: bytes of the zstd frame behind the mark */
	struct ntc_digest seal;     /* item: checksum of that frame */
};

/* The id of a bundle that is to have these entries: `digests`, one behind the other. */
struct ntc_digest ntc_bundle_id(struct ntc_view digests);

void ntc_bundle_mark_write(const struct ntc_bundle_mark *mark, uint8_t out[NTC_BUNDLE_MARK]);

/* Whether `bytes`, of NTC_BUNDLE_MARK, are a mark in its one form. False: *mark is zero. */
bool ntc_bundle_mark_read(const uint8_t bytes[NTC_BUNDLE_MARK], struct ntc_bundle_mark *mark);

/* The seal of an item's frame. What zstd makes of a damaged one is not looked at: some damage does not change it. */
struct ntc_digest ntc_bundle_seal(struct ntc_view packed);

/* The largest zstd frame that an image of so many bytes may have. */
uint64_t ntc_bundle_packed_max(uint64_t image);

/* --- reading ------------------------------------------------------------------------------ */

/* Zero to start. */
struct ntc_bundle_reader {
	uint64_t offset;            /* of the window, in the bundle */
	uint64_t meant;             /* entries that the head tells of; 0 if it is damaged */
	uint64_t items;             /* numbers that were passed: read or missing */
	uint64_t missing;           /* of those, the missing ones */
	/* private */
	bool has_id, has_last, broken, ended;
	uint64_t broken_at;         /* where the damage began that is being passed over */
	struct ntc_digest id, last; /* the bundle's; the last item's digest */
};

enum ntc_bundle_event {
	NTC_BUNDLE_MORE,            /* nothing yet: `need` bytes have to be in the window, or the end come */
	NTC_BUNDLE_BEGIN,           /* the head */
	NTC_BUNDLE_ENTRY,           /* `mark` and `packed` */
	NTC_BUNDLE_DAMAGE,          /* `at`, `bytes`: what was passed over; `first`, `missing`: the items that are not there */
	/* the last one: */
	NTC_BUNDLE_END,             /* the tail has been read, and there is nothing behind it */
	NTC_BUNDLE_CUT,             /* the end came before the tail; `at`, `bytes`: the rest, of no use */
	NTC_BUNDLE_ALIEN,           /* this is no bundle */
};

struct ntc_bundle_found {
	struct ntc_bundle_mark mark;
	struct ntc_view packed;
	uint64_t at, bytes;
	uint64_t first, missing;
	size_t need;
};

/*
 * The next event in `window`, which begins at reader->offset; `eof`: nothing comes behind it. *used is how many of its bytes
 * are done with: the next window begins behind them, the views that were found are in them. Of a damage the bytes, the items or
 * both are told. Without `eof`, MORE asks for more than there is behind the used ones; with it, MORE never comes.
 */
enum ntc_bundle_event ntc_bundle_next(struct ntc_bundle_reader *reader, struct ntc_view window, bool eof,
				      struct ntc_bundle_found *found, size_t *used);

#endif
