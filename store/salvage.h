/*
 * Images out of the ruins of an index: its file and its WAL are read page by page, without SQLite, for
 * rows of the table `image`. Whatever verifies is given on; nothing else is believed.
 *
 * A page is taken as SQLite would see it: from the WAL where a committed transaction wrote it (frames are checked one by
 * one), else from the file. What was removed is not there: `secure_delete` overwrites it.
 *
 * Every length and page number is hostile; reads at most three times as many pages as there are. A disk that cannot
 * be read is no damage: then nothing is decided.
 */
#ifndef NTC_STORE_SALVAGE_H
#define NTC_STORE_SALVAGE_H

#include "proto/message.h"
#include "store/buffer.h"

#define NTC_SALVAGE_PAGE 4096u                  /* bytes of a page of every index we ever made */
#define NTC_SALVAGE_IMAGE_MAX (1u << 20)        /* larger images have files */

struct ntc_salvaged {
	uint64_t pages;         /* looked at */
	uint64_t images;        /* that verified, and were given on */
	uint64_t lost;          /* rows that looked like images and were none */
};

/* One image, with its row as ntc_image_verify() fills it; both borrowed. The same digest may come twice. */
typedef enum ntc_status ntc_salvage_fn(void *ctx, const struct ntc_row *row, const struct ntc_buffer *image);

/*
 * Salvage the index `name` in the directory `dir` (a descriptor). Stops with what `each` returns if that is not OK.
 * NOT_FOUND: no such file. NO_FILES, NO_MEMORY, IO: it cannot be read now.
 */
enum ntc_status ntc_salvage(int dir, const char *name, ntc_salvage_fn *each, void *ctx, struct ntc_salvaged *salvaged,
			    struct ntc_reason *reason);

#endif
