/*
 * Work on its way between the threads: one struct from the call that asks for it to the callback that
 * answers it. The owner makes and frees ops; while an op is in a queue it is the thread's that takes it
 * out, and back in the mailbox it is the owner's again. So no field needs a lock.
 */
#ifndef NTC_STORE_OP_H
#define NTC_STORE_OP_H

#include <pthread.h>
#include <stdbool.h>

#include "proto/message.h"
#include "store/age.h"
#include "store/buffer.h"
#include "store/disk.h"
#include "store/store.h"

enum ntc_op_type {
	/* for the writer */
	NTC_OP_PUT = 1,
	NTC_OP_REMOVE,
	NTC_OP_QUARANTINE,      /* a damaged file; also drops the row of a file that is gone */
	NTC_OP_TOUCH,           /* `items`: struct ntc_touch */
	NTC_OP_COUNTERS,        /* `items`: bytes */
	NTC_OP_TRY,             /* whether the disk takes anything */
	NTC_OP_EVICT,           /* `need`, `need_entries` ...; back with `items`: struct ntc_row of what went */
	NTC_OP_PIN,             /* `pin`; back with `had_row`: whether it was found */
	NTC_OP_UNPIN,           /* `items`: struct ntc_digest, in use no more */
	NTC_OP_SWEEP,           /* see sweep.h */
	NTC_OP_LOOK,            /* an entry that the sweep has not come to; back with `row`, if it is there */
	NTC_OP_SWEPT,           /* no blob lacks its row any more */
	NTC_OP_REBUILD,         /* a loader or the checker found the index damaged, after so many `rebuilds` */
	/* the writer's own */
	NTC_OP_REBUILT,         /* `items`: struct ntc_entry of all images in the new index */
	/* the checker's */
	NTC_OP_CHECK,
	/* for a loader */
	NTC_OP_LOAD,
	NTC_OP_COMPARE,         /* a load for the puts and removals that wait for it (flux.h) */
	NTC_OP_SUSPECT,         /* a load nobody waits for */
	NTC_OP_VERIFY,          /* a load from the disk; back with `items`: a text, if it is bad */
	NTC_OP_LIST,            /* `digest`, `kind`, `limit`; back with `items`: struct ntc_row, `more` */
};

/* Uses of an entry that are not in the index yet. */
struct ntc_touch {
	struct ntc_digest digest;
	uint32_t hits;
	uint64_t used, used_age;
};

struct ntc_op {
	struct ntc_op *next;
	enum ntc_op_type type;
	enum ntc_status st;             /* what became of it */
	struct ntc_digest digest;
	uint32_t generation;            /* of the entry in the table when it was submitted */
	bool in_place;                  /* REMOVE that failed: the entry is still there */
	uint64_t submitted_ns;

	struct ntc_buffer *image;       /* PUT: to be written; LOAD: what was read. A reference */
	int fd;                         /* LOAD: the file, or -1 */
	struct ntc_row row;             /* PUT: to be inserted; LOAD, LOOK: found; REMOVE: what the table had */
	bool had_row;                   /* REMOVE, LOOK, PIN: `row` is set */
	enum ntc_pin pin;               /* PIN */
	bool repair;                    /* VERIFY: set a bad one aside */
	bool damaged;                   /* the index was found damaged, after so many `rebuilds` */
	uint64_t rebuilds;
	unsigned shard;                 /* SWEEP */
	struct {
		uint64_t strangers;     /* names that are not ours */
		uint64_t doubles;       /* files beside an image in the index; gone */
		uint64_t damaged;       /* files set aside */
	} found;                        /* SWEEP, LOOK */
	unsigned tries;                 /* LOAD: how often the entry was replaced while it was read */

	struct ntc_age age;             /* TOUCH, COUNTERS: the age clock, to be saved */
	void *items;                    /* freed with the op */
	size_t count;
	uint64_t need, need_entries;    /* EVICT: bytes, entries */
	uint64_t before_age;            /* EVICT: or what was last used before, behind `digest`; back with the last, `more` */
	bool sweep;                     /* EVICT: empty the quarantine first; back with `files` */
	bool collect;                   /* EVICT: for somebody who waits (collect.c) */
	uint64_t files;
	uint64_t entries;               /* PUT, TOUCH: in the cache */
	unsigned kind;                  /* LIST */
	size_t limit;
	bool more;

	uint64_t durable_ns;            /* PUT: when the commit was done */
	uint64_t groups;                /* the writer's count of groups so far */
	bool by_writer;                 /* it was: */
	struct ntc_disk_state disk;     /* what the writer knew of it then */

	union {
		ntc_load_fn *load;
		ntc_remove_fn *remove;
		ntc_list_fn *list;
		ntc_pin_fn *pin;
		ntc_verify_fn *verify;
		struct {
			ntc_put_fn *decided;
			ntc_durable_fn *durable;
		};
	} fn;
	void *ctx;

	bool has_key;                   /* LOAD, REMOVE by key: compare it whole */
	size_t key_len;
	uint8_t key[];                  /* a copy */
};

/* A zeroed op with a copy of `key` (NULL: none), or NULL without memory. */
struct ntc_op *ntc_op_new(enum ntc_op_type type, const struct ntc_digest *digest, const struct ntc_view *key);

/* Accepts NULL. */
void ntc_op_free(struct ntc_op *op);

/* First in, first out; not locked. */
struct ntc_op_list {
	struct ntc_op *head, *tail;
};

void ntc_op_push(struct ntc_op_list *list, struct ntc_op *op);
struct ntc_op *ntc_op_pop(struct ntc_op_list *list);
/* Back to the head. */
void ntc_op_unpop(struct ntc_op_list *list, struct ntc_op *op);

/* --- between threads ---------------------------------------------------------------------- */

/* Work for one or more threads. */
struct ntc_queue {
	pthread_mutex_t lock;
	pthread_cond_t changed;         /* on CLOCK_MONOTONIC */
	struct ntc_op_list ops;         /* under lock, as the rest */
	size_t count;
	bool ended;                     /* nothing comes any more: take what is there and leave */
};

/* A condition whose limits are on the monotonic clock. */
bool ntc_cond_init(pthread_cond_t *cond);

bool ntc_queue_init(struct ntc_queue *queue);
void ntc_queue_release(struct ntc_queue *queue);
void ntc_queue_push(struct ntc_queue *queue, struct ntc_op *op);
void ntc_queue_end(struct ntc_queue *queue);

/*
 * What is finished, for the owner. Loaded images wait here, so loaders stop while there are too many:
 * memory and descriptors stay bounded however slowly the owner comes.
 */
#define NTC_MAILBOX_LOADS_MAX 128u
#define NTC_MAILBOX_BYTES_MAX (UINT64_C(64) << 20)

struct ntc_mailbox {
	pthread_mutex_t lock;
	pthread_cond_t taken;
	struct ntc_op_list ops;         /* under lock, as the rest */
	unsigned loads;
	uint64_t bytes;                 /* of loaded images */
	int event;                      /* eventfd, readable while there are ops */
};

bool ntc_mailbox_init(struct ntc_mailbox *mailbox);
void ntc_mailbox_release(struct ntc_mailbox *mailbox);

/* Wait until there is room for what one more load brings. */
void ntc_mailbox_wait_room(struct ntc_mailbox *mailbox);

/* Hand over a list of ops at once; the list is empty afterwards. */
void ntc_mailbox_post(struct ntc_mailbox *mailbox, struct ntc_op_list *ops);

/* Everything in it. */
struct ntc_op_list ntc_mailbox_take(struct ntc_mailbox *mailbox);

#endif
