/*
 * Whether the disk takes what is put.
 *
 * The writer finds out: when something failed because of the disk, it tries the disk with a small file and a commit.
 * What it found travels to the owner with every op that comes back. While that is bad, the owner refuses puts with the
 * reason (hits and removals go on) and has the writer try again, soon about once a second, so nobody has to restart
 * anything. What fails although the trial goes well (an image that is too large for what is left) is that put's
 * misfortune alone.
 */
#ifndef NTC_STORE_DISK_H
#define NTC_STORE_DISK_H

#include "store/blob.h"
#include "store/index.h"
#include "store/log.h"

#define NTC_DISK_WAIT_MIN_NS (50 * NTC_NS_PER_MS)       /* until the first trial; doubled for each that follows */
#define NTC_DISK_WAIT_NS (1 * NTC_NS_PER_S)             /* up to this */
#define NTC_DISK_WAIT_MAX_NS (30 * NTC_NS_PER_S)        /* and this where it goes bad again and again */
#define NTC_DISK_WELL_NS (60 * NTC_NS_PER_S)            /* after which it is not "again" */

struct ntc_disk_state {
	enum ntc_status st;             /* OK, or why it takes nothing */
	int err;                        /* the errno behind that; 0 if there is none */
};

/* Whether an op that failed with `st` failed because of the disk (or for want of descriptors). */
bool ntc_disk_blamed(enum ntc_status st);

/* --- the writer's ------------------------------------------------------------------------- */

struct ntc_disk_state ntc_disk_try(struct ntc_blobs *blobs, struct ntc_index *index);

/* --- the owner's -------------------------------------------------------------------------- */

/* Zero-initialised: well. */
struct ntc_disk {
	struct ntc_disk_state is;
	uint64_t since_wall_ns;         /* when it became what it is; 0 = it never was otherwise */
	uint64_t changed_ns;
	uint64_t first_ns, wait_ns;     /* until the first trial; between the last and the next */
	uint64_t next_ns;               /* the next trial */
	bool trying;                    /* a trial is under way */
};

/* What the writer found last; says it in the log if it is another state. */
void ntc_disk_found(struct ntc_disk *disk, const struct ntc_disk_state *state, uint64_t now_ns,
		    const struct ntc_store_log *log);

/* Whether it is time for a trial. */
bool ntc_disk_due(const struct ntc_disk *disk, uint64_t now_ns);

/* The trial is back. */
void ntc_disk_tried(struct ntc_disk *disk, uint64_t now_ns);

#endif
