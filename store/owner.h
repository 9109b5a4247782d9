/*
 * The owner's side of the store: struct ntc_store and what store.c (opening, bookkeeping), entries.c
 * (loads, puts, removals) and recover.c (start-up) share. Everything here is the owner thread's.
 */
#ifndef NTC_STORE_OWNER_H
#define NTC_STORE_OWNER_H

#include "store/age.h"
#include "store/blob.h"
#include "store/checker.h"
#include "store/index.h"
#include "store/loader.h"
#include "store/log.h"
#include "store/op.h"
#include "store/pending.h"
#include "store/table.h"
#include "store/writer.h"

#define NTC_STORE_OPS_MAX 65536u        /* calls under way; more are refused with BUSY */
#define NTC_TOUCH_WAIT_NS NTC_NS_PER_S  /* how long a use may be noted in memory only */
#define NTC_TOUCH_BATCH 4096u           /* uses written by one op */
#define NTC_TOUCH_MAX 65536u            /* uses noted in memory; they are written early then */
#define NTC_EXPIRE_PERIOD_MAX_S 3600u   /* between two looks for what is too old */
#define NTC_LOAD_TRIES 4u               /* reads of an entry that is replaced meanwhile */

/* What goes on behind a daemon that serves already (recover.c). */
struct ntc_recovery {
	bool swept[NTC_BLOB_SHARDS];
	unsigned left;                  /* shards that are not */
	unsigned next;                  /* the one to go on with */
	unsigned failed;                /* slices in a row that could not be done */
	bool sweeping;                  /* a slice, or what ends the sweep, is under way */
	bool waiting;                   /* for the timer, to try again */
	bool rebuilding;                /* blobs may lack their rows: what the table does not know may be there */
	bool checking;
	bool checked;                   /* nothing is wrong with the index */
	bool damage_told;               /* the writer knows */
	uint64_t strangers;
};

struct ntc_store {
	struct ntc_store_log log;
	char *dir;                      /* absolute */
	int dir_fd, lock_fd;
	uint64_t max_bytes, max_entries, max_age_ns, max_queued_bytes;
	struct ntc_blobs blobs;
	struct ntc_mailbox mailbox;
	bool mailbox_made;
	struct ntc_writer_thread writer;
	struct ntc_loaders loaders;
	struct ntc_checker checker;
	struct ntc_recovery recovery;
	int event, timer, clock;        /* epoll over the mailbox and the others; timerfds: soon; for age (caps.c) */

	struct ntc_table table;
	struct ntc_pending_map pending;
	uint64_t recency;               /* the last number given to a use */
	uint32_t generation;            /* the last number given to an entry */
	struct ntc_age age;
	size_t ops;                     /* made and not freed */

	struct ntc_touch *touches;      /* used == 0: the entry is gone */
	size_t touch_count, touch_room;
	size_t touch_ops;               /* under way */
	uint64_t timer_ns;              /* when the timer is due; 0 = it is not set */

	void *saved;                    /* the counters at open */
	size_t saved_len;
	struct ntc_op *next_counters;   /* to be written behind the ones under way */
	bool counters_under_way;
	bool evicting, full_of_pins;
	struct {                        /* collect.c */
		bool on, sweep, aging;
		struct ntc_collect bounds;
		uint64_t before_age;
		struct ntc_digest after;        /* up to here the ages have been looked at */
		struct ntc_collected result;
		ntc_collect_fn *fn;
		void *ctx;
	} collect;
	bool closing;
	struct ntc_disk disk;

	struct ntc_store_stats stats;   /* since opened; the rest is filled in when asked */
};

/* --- recover.c ---------------------------------------------------------------------------- */

/* Before the threads: open the index (a new one where it was damaged), fill the table, empty tmp. */
enum ntc_status ntc_store_recover(struct ntc_store *store, struct ntc_reason *reason);

/* With the threads: let the sweep and the check begin. */
void ntc_recovery_begin(struct ntc_store *store);

/* A SWEEP, SWEPT, REBUILD, REBUILT or CHECK is back. The op is taken. */
void ntc_recovery_done(struct ntc_store *store, struct ntc_op *op);

/* Try again what could not be done. */
void ntc_recovery_tick(struct ntc_store *store);

/* The store closes: no more than what is under way, and the check ends soon. */
void ntc_recovery_end(struct ntc_store *store);

/* Somebody met damage in the index, after so many rebuilds. */
void ntc_recovery_damaged(struct ntc_store *store, uint64_t rebuilds);

/* Whether an entry that the table does not know may be on disk nevertheless. */
bool ntc_recovery_hides(const struct ntc_store *store, const struct ntc_digest *digest);

/* Take what was found on disk into the table, if it is not there. Without memory it is a miss until the next start. */
void ntc_recovery_enter(struct ntc_store *store, const struct ntc_row *row);

/* --- store.c ------------------------------------------------------------------------------ */

/* As ntc_op_new(), counted. */
struct ntc_op *ntc_store_op_new(struct ntc_store *store, enum ntc_op_type type, const struct ntc_digest *digest,
				const struct ntc_view *key);
void ntc_store_op_free(struct ntc_store *store, struct ntc_op *op);

/* Take an entry out of the table, and its unwritten uses with it. */
void ntc_store_forget(struct ntc_store *store, struct ntc_entry *entry);

/* Have dispatch called at the latest so long from now. */
void ntc_store_set_timer(struct ntc_store *store, uint64_t ns);

/* Write what uses are noted in memory, so that what comes behind in the writer's queue finds them in the index. */
void ntc_store_flush_touches(struct ntc_store *store);

/* --- caps.c ------------------------------------------------------------------------------- */

/* Start evicting if the cache is over a cap. */
void ntc_store_evict(struct ntc_store *store);

/* An EVICT, a PIN is back. The op is taken. */
void ntc_store_evict_done(struct ntc_store *store, struct ntc_op *op);
void ntc_store_pin_done(struct ntc_store *store, struct ntc_op *op);

/* Arm `clock`, which says when to look for what is too old. */
bool ntc_store_start_clock(struct ntc_store *store);

/* Look for it, if it is time. */
void ntc_store_tick(struct ntc_store *store);

/* --- collect.c ---------------------------------------------------------------------------- */

/* An EVICT of ours is back; what went is out of the table. Not taken. */
void ntc_store_collect_done(struct ntc_store *store, const struct ntc_op *op);

/* --- entries.c ---------------------------------------------------------------------------- */

/* A PUT, REMOVE, QUARANTINE, LOOK, LOAD, COMPARE, SUSPECT or VERIFY is back. The op is taken. */
void ntc_store_entry_done(struct ntc_store *store, struct ntc_op *op);

#endif
