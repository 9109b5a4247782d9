/*
 * The messages: one field list each, from which its struct, encoder and decoder are made
 * (docs/protocol.md says what they mean and gives worked bytes).
 *
 * Fields stand on the wire in the order of their list: u32, u64 little-endian; digest 16 bytes; view a
 * u32 length and that many bytes. A decoder accepts exactly its fields and nothing behind them; views
 * are borrowed from the payload. Numbers are never reused.
 *
 * Pure: no allocation, no I/O.
 */
#ifndef NTC_PROTO_MESSAGE_H
#define NTC_PROTO_MESSAGE_H

#include "proto/bytes.h"
#include "proto/frame.h"
#include "proto/ntcache_types.h"
#include "proto/status.h"

#define NTC_PROTOCOL_VERSION 2u

/*
 * X(name, number): every message. To the daemon: requests below 0x80, each answered once
 * unless it says otherwise. To the client: 0x80 and above.
 */
#define NTC_MESSAGE_LIST(X) \
	X(HELLO,    0x01) \
	X(LOOKUP,   0x10) \
	X(ACQUIRE,  0x11) \
	X(EXTEND,   0x12) \
	X(PUT,      0x13) \
	X(FAIL,     0x14) \
	X(RELEASE,  0x15) \
	X(SLOT,     0x16) \
	X(SYNC,     0x17) \
	X(REMOVE,   0x18) \
	X(LIST,     0x19) \
	X(SHOW,     0x1a) \
	X(STATS,    0x1b) \
	X(PING,     0x1c) \
	X(CANCEL,   0x1d) \
	X(HITS,     0x1e) \
	X(SUSPECT,  0x1f) \
	X(IMPORT,   0x20) \
	X(VERIFY,   0x21) \
	X(COLLECT,  0x22) \
	X(PIN,      0x23) \
	X(UNPIN,    0x24) \
	X(GREETING, 0x80) \
	X(DONE,     0x81) \
	X(ERROR,    0x82) \
	X(ENTRY,    0x83) \
	X(LEASE,    0x84) \
	X(FAILED,   0x85) \
	X(STORED,   0x86) \
	X(SLOTTED,  0x87) \
	X(ROWS,     0x88) \
	X(SHOWN,    0x89) \
	X(COUNTERS, 0x8a) \
	X(VERIFIED, 0x8b) \
	X(SEGMENT,  0x8c) \
	X(COLLECTED, 0x8d)

enum ntc_message {
#define X(name, number) NTC_MSG_##name = number,
	NTC_MESSAGE_LIST(X)
#undef X
};

/* --- to the daemon ------------------------------------------------------------------------ */

/* First of all, unanswered unless the version is refused (ERROR BAD_VERSION, then the end). */
#define NTC_HELLO_FIELDS(F) \
	F(u32, version) \
	F(u32, flags)           /* NTC_HELLO_* */ \
	F(view, name)           /* of the program, for people; at most 64 bytes are kept */
#define NTC_HELLO_READ_ONLY 1u

/* -> ENTRY or ERROR NOT_FOUND. */
#define NTC_LOOKUP_FIELDS(F) \
	F(view, key)

/*
 * -> ENTRY (known, or made by somebody while this waited), LEASE (make it), FAILED (it cannot be made),
 * or ERROR: CIRCULAR, WAIT_OVER, CANCELLED, BUSY: make it without a lease.
 */
#define NTC_ACQUIRE_FIELDS(F) \
	F(u64, task)            /* who asks; unique within the connection */ \
	F(u32, flags)           /* NTC_ACQUIRE_* */ \
	F(u32, group)           /* 0, or requests of this connection that share `width` */ \
	F(u32, width)           /* leases that the group may hold at once; at least 1 */ \
	F(u64, estimate_ns)     /* what making it is expected to cost; 0 = unknown */ \
	F(u64, wait_ns)         /* longest wait; 0 = as long as the daemon allows */ \
	F(view, key)
#define NTC_ACQUIRE_RETRY 1u    /* pass over a kept failure */
#define NTC_ACQUIRE_NOWAIT 2u   /* WAIT_OVER at once where somebody else is making it */
#define NTC_ACQUIRE_REFRESH 4u  /* pass over a known entry: it is to be made again and compared */

/* -> LEASE with the new time, or ERROR NO_SUCH_LEASE. */
#define NTC_EXTEND_FIELDS(F) \
	F(u64, lease) \
	F(u64, time_ns)         /* from now */

/*
 * -> STORED, or ERROR. The body is inside, or (then `body` is empty) in the frame's descriptor: a memfd
 * of `size` bytes sealed against write, shrink and grow. Ends the lease whatever the answer.
 */
#define NTC_PUT_FIELDS(F) \
	F(u64, lease)           /* 0 = made without one */ \
	F(u64, cost_ns)         /* what making it cost */ \
	F(u64, size)            /* bytes of the body */ \
	F(view, body)

/* -> DONE, or ERROR NO_SUCH_LEASE. */
#define NTC_FAIL_FIELDS(F) \
	F(u64, lease) \
	F(u32, failure)         /* enum ntc_failure_class */ \
	F(view, log)            /* at most NTC_LOG_MAX bytes */
#define NTC_LOG_MAX (64u << 10)
enum ntc_failure_class {
	NTC_FAILURE_DETERMINISTIC = 1,  /* it would fail again: the waiters get the log */
	NTC_FAILURE_TRANSIENT = 2,      /* nobody else's: the next waiter gets the lease */
};

/* -> DONE, or ERROR NO_SUCH_LEASE. */
#define NTC_RELEASE_FIELDS(F) \
	F(u64, lease)

/*
 * -> SLOTTED, or ERROR WAIT_OVER: go on without. A slot ends with its lease. A task that holds one is
 * answered at once and shares it.
 */
#define NTC_SLOT_FIELDS(F) \
	F(u64, task) \
	F(u64, lease) \
	F(u64, wait_ns)         /* longest wait; 0 = as long as the daemon allows */

/* -> DONE when every put of this connection answered so far is durable, or ERROR with the first that
 * is not; each failure is told once. */
#define NTC_SYNC_FIELDS(F)

/* -> DONE with the number removed, when no new look-up can find it. By key, or by digest if empty. */
#define NTC_REMOVE_FIELDS(F) \
	F(digest, digest) \
	F(view, key)

/* -> ROWS behind `after` in order of digests. */
#define NTC_LIST_FIELDS(F) \
	F(digest, after)        /* zero = from the first */ \
	F(u32, kind)            /* 0 = all */ \
	F(u32, limit)           /* rows wanted; at most NTC_ROWS_MAX are sent */
#define NTC_ROWS_MAX 512u

/* -> SHOWN, or ERROR NOT_FOUND. Counts as no hit. */
#define NTC_SHOW_FIELDS(F) \
	F(digest, digest)

/* -> COUNTERS. */
#define NTC_STATS_FIELDS(F)

/* -> DONE with the daemon's process id. */
#define NTC_PING_FIELDS(F)

/* Unanswered; the request of that id is answered soon, with CANCELLED or otherwise. */
#define NTC_CANCEL_FIELDS(F) \
	F(u64, request)

/* Unanswered. `hits` is NTC_HIT_SIZE bytes each: digest, count u32. */
#define NTC_HITS_FIELDS(F) \
	F(u32, rung)            /* enum ntc_rung */ \
	F(view, hits)
#define NTC_HIT_SIZE 20u
enum ntc_rung {
	NTC_RUNG_PROCESS = 1,   /* a handle in the process */
	NTC_RUNG_SEGMENT = 2,
	NTC_RUNG_FILE = 3,
	NTC_RUNG_SOCKET = 4,    /* counted by the daemon itself; not reported */
};

/* Unanswered: the file of that digest looked bad; the daemon looks for itself. */
#define NTC_SUSPECT_FIELDS(F) \
	F(digest, digest)

/*
 * -> STORED, where it says NEW once that is durable; or ERROR. An entry that was made elsewhere or earlier: `size` and
 * `body` as in PUT. The stamp that it bore is taken from the operator; made anew for others, and where it is empty.
 */
#define NTC_IMPORT_FIELDS(F) \
	F(view, stamp)          /* NTC_STAMP_SIZE bytes, or empty */ \
	F(u64, size)            /* bytes of the body */ \
	F(view, body)

/* -> VERIFIED, or ERROR NOT_FOUND, or why it could not be read. Looks at what the disk has. */
#define NTC_VERIFY_FIELDS(F) \
	F(digest, digest) \
	F(u32, flags)           /* NTC_VERIFY_* */
#define NTC_VERIFY_REPAIR 1u    /* a bad one is set aside: a miss from now on */

/*
 * -> COLLECTED, when what is worth least is gone until the cache keeps these bounds once (or what is left is pinned or in
 * use), and, with a flag, what was set aside; or ERROR.
 */
#define NTC_COLLECT_FIELDS(F) \
	F(u64, max_bytes)       /* of images; all ones = no bound, as the next two */ \
	F(u64, max_entries) \
	F(u64, max_age_ns)      /* since its last use */ \
	F(u32, flags)           /* NTC_COLLECT_* */
#define NTC_COLLECT_QUARANTINE 1u

/*
 * -> DONE: from now on the entry is neither evicted nor removed for its age, until as many UNPINs or the end of the
 * connection; KEPT: for ever, which is the operator's alone. Or ERROR NOT_FOUND, BUSY, FORBIDDEN. By key, or by digest if empty.
 */
#define NTC_PIN_FIELDS(F) \
	F(digest, digest) \
	F(u32, flags)           /* NTC_PIN_* */ \
	F(view, key)
#define NTC_PIN_KEPT 1u

/* -> DONE with 1: one PIN with the same flags is taken back; 0: there was none. */
#define NTC_UNPIN_FIELDS(F) \
	F(digest, digest) \
	F(u32, flags)           /* NTC_PIN_* */ \
	F(view, key)

/* --- to the client ------------------------------------------------------------------------ */

/* Unasked, at accept, with the descriptor of the blob directory (O_PATH). */
#define NTC_GREETING_FIELDS(F) \
	F(u32, version) \
	F(u32, capabilities)    /* NTC_CAN_* */ \
	F(u32, key_version) \
	F(u32, entry_version) \
	F(u32, segment_version) /* 0 = no segment; else SEGMENT follows at once */ \
	F(u64, instance)        /* random per start: tells a new daemon from the old one */ \
	F(u64, pid) \
	F(u64, max_body)        /* bytes */ \
	F(u64, max_inline)      /* bytes of a body inside a PUT */
#define NTC_CAN_WRITE 1u        /* this peer may put, fail and remove */
#define NTC_CAN_OPERATE 2u      /* this peer is the operator: the daemon's own user, or root */

/* Unasked, behind GREETING, with the descriptor of the shared segment (proto/segment.h). */
#define NTC_SEGMENT_FIELDS(F) \
	F(u64, size)            /* bytes of it */

#define NTC_DONE_FIELDS(F) \
	F(u64, value)

#define NTC_ERROR_FIELDS(F) \
	F(u32, status)          /* enum ntc_status */ \
	F(u32, retry)           /* 1 = the same request may succeed later */ \
	F(view, text)           /* for people */

/* The image is inside, or (then `image` is empty) in the frame's descriptor, to be read with pread. */
#define NTC_ENTRY_FIELDS(F) \
	F(u32, flags)           /* NTC_ENTRY_* */ \
	F(u64, size)            /* bytes of the image */ \
	F(view, image)
#define NTC_ENTRY_WAITED 1u     /* somebody made it while this request waited */

#define NTC_LEASE_FIELDS(F) \
	F(u64, lease)           /* never 0 */ \
	F(u64, time_ns)         /* from now until it is over */ \
	F(u32, flags)           /* NTC_LEASE_* */
#define NTC_LEASE_WAITED 1u     /* it was somebody else's before */

#define NTC_FAILED_FIELDS(F) \
	F(u64, age_ns)          /* since it failed */ \
	F(view, log)

#define NTC_STORED_FIELDS(F) \
	F(u32, result)          /* enum ntc_stored */
enum ntc_stored {
	NTC_STORED_NEW = 1,     /* visible to everyone now; durable when SYNC says so */
	NTC_STORED_KNOWN = 2,   /* somebody's equal body is there */
	NTC_STORED_DIFFERS = 3, /* another body of the same key is there and stays */
};

#define NTC_SLOTTED_FIELDS(F) \
	F(u32, shared)          /* 1 = the task's earlier slot; ends with that one's lease */

/* `rows` is packed struct ntc_row; see ntc_row_read(). */
#define NTC_ROWS_FIELDS(F) \
	F(u32, more)            /* 1 = there are rows behind these */ \
	F(view, rows)

#define NTC_SHOWN_FIELDS(F) \
	F(view, row)            /* one packed row */ \
	F(u64, size) \
	F(view, image)          /* as in ENTRY */

/* `counters` is a field list (proto/key.h) of kind 0; every value an int. */
#define NTC_COUNTERS_FIELDS(F) \
	F(view, counters)

#define NTC_VERIFIED_FIELDS(F) \
	F(u32, status)          /* OK, or what is wrong with it: BAD_IMAGE */ \
	F(u64, size)            /* bytes of the image that were read */ \
	F(view, text)           /* for people: what is wrong */

#define NTC_COLLECTED_FIELDS(F) \
	F(u64, entries)         /* that went */ \
	F(u64, bytes)           /* of their images */ \
	F(u64, files)           /* that had been set aside */

/* --- made from the lists ------------------------------------------------------------------ */

typedef uint32_t ntc_wire_u32;
typedef uint64_t ntc_wire_u64;
typedef struct ntc_view ntc_wire_view;
typedef struct ntc_digest ntc_wire_digest;

/* Messages without fields still get a struct with something in it. */
#define NTC_MEMBER(type, name) ntc_wire_##type name;
#define NTC_DECLARE(lower, FIELDS) \
	struct ntc_msg_##lower { \
		FIELDS(NTC_MEMBER) \
		char nothing[1]; \
	}; \
	/* Write the payload; measure with a counting writer. The frame's header is the caller's. */ \
	void ntc_msg_##lower##_write(struct ntc_writer *w, const struct ntc_msg_##lower *m); \
	/* Read a payload; false (and *m zero) if it is not exactly one. Views are borrowed from it. */ \
	bool ntc_msg_##lower##_read(struct ntc_view payload, struct ntc_msg_##lower *m);

#define NTC_EACH_MESSAGE(M) \
	M(hello, NTC_HELLO_FIELDS) \
	M(lookup, NTC_LOOKUP_FIELDS) \
	M(acquire, NTC_ACQUIRE_FIELDS) \
	M(extend, NTC_EXTEND_FIELDS) \
	M(put, NTC_PUT_FIELDS) \
	M(fail, NTC_FAIL_FIELDS) \
	M(release, NTC_RELEASE_FIELDS) \
	M(slot, NTC_SLOT_FIELDS) \
	M(sync, NTC_SYNC_FIELDS) \
	M(remove, NTC_REMOVE_FIELDS) \
	M(list, NTC_LIST_FIELDS) \
	M(show, NTC_SHOW_FIELDS) \
	M(stats, NTC_STATS_FIELDS) \
	M(ping, NTC_PING_FIELDS) \
	M(cancel, NTC_CANCEL_FIELDS) \
	M(hits, NTC_HITS_FIELDS) \
	M(suspect, NTC_SUSPECT_FIELDS) \
	M(import, NTC_IMPORT_FIELDS) \
	M(verify, NTC_VERIFY_FIELDS) \
	M(collect, NTC_COLLECT_FIELDS) \
	M(pin, NTC_PIN_FIELDS) \
	M(unpin, NTC_UNPIN_FIELDS) \
	M(greeting, NTC_GREETING_FIELDS) \
	M(done, NTC_DONE_FIELDS) \
	M(error, NTC_ERROR_FIELDS) \
	M(entry, NTC_ENTRY_FIELDS) \
	M(lease, NTC_LEASE_FIELDS) \
	M(failed, NTC_FAILED_FIELDS) \
	M(stored, NTC_STORED_FIELDS) \
	M(slotted, NTC_SLOTTED_FIELDS) \
	M(rows, NTC_ROWS_FIELDS) \
	M(shown, NTC_SHOWN_FIELDS) \
	M(counters, NTC_COUNTERS_FIELDS) \
	M(verified, NTC_VERIFIED_FIELDS) \
	M(segment, NTC_SEGMENT_FIELDS) \
	M(collected, NTC_COLLECTED_FIELDS)

NTC_EACH_MESSAGE(NTC_DECLARE)

/* The name of a message type, such as "ACQUIRE"; "UNKNOWN" for others. Static. */
const char *ntc_message_name(unsigned type);

/* --- rows of LIST and SHOW ---------------------------------------------------------------- */

#define NTC_ROW_SIZE 216u
#define NTC_ROW_TEXT 64u        /* bytes of a text in a row: NUL-terminated, zeros to the end */

/* What the index knows of an entry. */
struct ntc_row {
	struct ntc_digest digest;
	uint32_t kind;
	uint32_t uid;           /* who put it */
	uint64_t size;          /* bytes of the image */
	uint64_t put_wall_ns;   /* wall clock, since 1970 */
	uint64_t cost_ns;       /* what making it cost */
	uint64_t hits;
	uint64_t used;          /* the recency counter when it was last used */
	uint64_t parts;         /* number of parts */
	uint64_t key_len;       /* bytes of its key */
	uint64_t flags;         /* NTC_ROW_*; a reader passes over those it does not know */
	char producer[NTC_ROW_TEXT];    /* what made it, as its notes say; "" = they do not */
	char name[NTC_ROW_TEXT];        /* what its key calls it; "" = nothing */

	/* The store's own; not on the wire. */
	uint64_t image;         /* 0 = in a blob file; otherwise where in the index */
	double weight;          /* uses, older ones counting less, as of the last one */
	double value;           /* what keeping it is worth: the lowest go first */
	uint64_t used_age;      /* the age clock (store/age.h) at the last use */
};
#define NTC_ROW_PINNED 1u       /* never evicted */
#define NTC_ROW_INDEX 2u        /* the image is in the index, not in a file of its own */

void ntc_row_write(struct ntc_writer *w, const struct ntc_row *row);

/* The next row; zeros and r->bad if it is not whole, or a text in it is not in its one form. */
struct ntc_row ntc_row_read(struct ntc_reader *r);

#endif
