/*
 * A new index in the place of a damaged one: images that lived in the old one are salvaged (salvage.h), rows that can
 * still be read are taken over, the old one is set aside under a name with a date. Blobs without rows are for
 * recovery to adopt; until it has, the new index says so itself (NTC_REBUILDING_NAME).
 *
 * The new index is made whole under another name first. Whenever the process ends, the next start finds
 * the damaged index as it was, or a whole new one that only has to take its place.
 *
 * No connection to the index may be open.
 */
#ifndef NTC_STORE_REBUILD_H
#define NTC_STORE_REBUILD_H

#include <stdbool.h>

#include "store/log.h"

#define NTC_REBUILDING_NAME "rebuilding"        /* a value of the index, while blobs may lack their rows */

/* Make a new index for the directory `dir`, which `dir_fd` is open at, and put it in the place of the old one. `why` is
 * for the log. Whatever fails, nothing is lost: it can be tried again. */
enum ntc_status ntc_rebuild(const char *dir, int dir_fd, const char *why, const struct ntc_store_log *log,
			    struct ntc_reason *reason);

/* Whether a rebuild got so far that the new index is whole: then the old one must not be changed any more. */
bool ntc_rebuild_pending(int dir_fd);

/* Finish what a crash interrupted: to be called before the index is opened. OK also if there is nothing to do. */
enum ntc_status ntc_rebuild_finish(int dir_fd, const struct ntc_store_log *log, struct ntc_reason *reason);

#endif
