/*
 * Bundles as files: writing one, reading one (docs/bundle.md). Entries are packed and unpacked one at a time; in memory are one
 * entry and what was read ahead.
 */
#ifndef NTC_CTL_BUNDLE_H
#define NTC_CTL_BUNDLE_H

#include <stdio.h>

#include "ntcache.h"
#include "proto/bundle.h"

/* --- writing ------------------------------------------------------------------------------ */

struct ntc_ctl_pack {
	FILE *file;             /* borrowed */
	void *zstd;
	struct ntc_digest id;
	uint64_t items, bytes, packed;  /* so far: entries, their images' bytes, the bundle's */
	uint8_t *image, *frame;
	size_t image_room, frame_room;
};

/* Begin a bundle that is to have at most these entries, in ascending order. Each: false with errno if writing failed. */
bool ntc_ctl_pack_begin(struct ntc_ctl_pack *pack, FILE *file, const struct ntc_digest *digests, size_t count);
bool ntc_ctl_pack_add(struct ntc_ctl_pack *pack, const struct ntc_entry *entry, bool stamp);
bool ntc_ctl_pack_end(struct ntc_ctl_pack *pack);
void ntc_ctl_pack_release(struct ntc_ctl_pack *pack);

/* --- reading ------------------------------------------------------------------------------ */

struct ntc_ctl_unpack {
	struct ntc_bundle_reader reader;
	int fd;                 /* borrowed */
	bool eof;
	int error;              /* errno of a read that failed */
	void *zstd;
	uint8_t *window, *image;
	size_t start, len, room, image_room;    /* the window: room bytes, of which len from start on are unread */
};

enum ntc_ctl_unpacked {
	NTC_CTL_UNPACKED_ENTRY,     /* `entry` is given */
	NTC_CTL_UNPACKED_BAD,       /* an entry that is damaged: `found.mark` names it, `why` says how */
	NTC_CTL_UNPACKED_DAMAGE,    /* as NTC_BUNDLE_DAMAGE: `found` */
	NTC_CTL_UNPACKED_END,       /* the last one, as the next: all was read */
	NTC_CTL_UNPACKED_CUT,       /* `found` */
	NTC_CTL_UNPACKED_ALIEN,
	NTC_CTL_UNPACKED_UNREADABLE,    /* `error` of the bundle */
};

struct ntc_ctl_unpacked_item {
	enum ntc_ctl_unpacked what;
	struct ntc_entry *entry;
	struct ntc_bundle_found found;
	char why[256];
};

void ntc_ctl_unpack_init(struct ntc_ctl_unpack *unpack, int fd);
void ntc_ctl_unpack_release(struct ntc_ctl_unpack *unpack);

/* What comes next. */
void ntc_ctl_unpack_next(struct ntc_ctl_unpack *unpack, struct ntc_ctl_unpacked_item *item);

#endif
