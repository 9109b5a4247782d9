/*
 * ntcache.h - libntcache, the client of ntcached.
 *
 * A worker builds a *key* (everything that can change the result), asks for its *entry*, and on a miss
 * gets a *lease*: the right to make it while everybody else who asks waits for the result.
 *
 *     struct ntc_client *client;
 *     struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);
 *     struct ntc_entry *entry;
 *
 *     ntc_open(NULL, &client);
 *     ntc_key_add_string(key, "application", source, strlen(source));
 *     ntc_key_add_int(key, "BLOCK_SIZE", 128);
 *     if (ntc_key_seal(key) != NTC_OK)
 *             complain(ntc_key_error(key));
 *     err = ntc_fetch(client, key, NULL, compile, ctx, &entry, NULL);  // compile() runs only if nobody has it
 *
 * The library never prints, exits, installs signal handlers or starts threads. It starts one process
 * only when asked to: the daemon (NTC_AUTOSTART). A worker never fails because of the cache: without
 * a daemon, or with a sick one, it is told once (log callback) and makes things by itself (NTC_ALONE).
 *
 * Threads: a client may be used by any number of threads at once; keys once sealed, and entries, are
 * immutable and may be shared; a lease belongs to one thread at a time. After fork() the child may go on
 * using the client: it connects anew, and leases of the parent stay the parent's.
 *
 * Times: `timeout_ms` is how long a call may take at most: 0 does not wait, NTC_NO_TIMEOUT waits as long
 * as the limits of daemon and client allow (docs/limits.md), which is always finite.
 *
 * Ownership words: *copied* (yours stays yours), *borrowed* (until when is said), *taken* (the call frees
 * it, whatever it returns), *given* (free it with what is said).
 */
#ifndef NTCACHE_H
#define NTCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ntcache_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NTC_API __attribute__((visibility("default")))
#else
#define NTC_API
#endif

#define NTC_NO_TIMEOUT (-1)

/* --- outcomes ----------------------------------------------------------------------------- */

/* 0 done; positive: a normal answer that is not an entry; negative: the call failed. */
enum ntc_err {
	NTC_OK = 0,
	NTC_MISS = 1,           /* there is no such entry */
	NTC_MAKE = 2,           /* you hold the lease: make it, then ntc_put() or ntc_fail() */
	NTC_ALONE = 3,          /* make it by yourself, without a lease: no daemon, or a wait was over */
	NTC_FAILED = 4,         /* making it failed for somebody, and would fail again: see the log */
	NTC_KNOWN = 5,          /* put: an equal entry was there already */
	NTC_DIFFERS = 6,        /* put: an entry with other bytes was there already, and stays */

	NTC_E_INVALID = -1,     /* an argument is wrong: a programming error; nothing was changed */
	NTC_E_KEY = -2,         /* the key cannot be: ntc_key_error() says why */
	NTC_E_TOO_LARGE = -3,   /* larger than a limit allows (docs/limits.md) */
	NTC_E_COLLISION = -4,   /* another key has the same digest and stays: keep what you made */
	NTC_E_NO_MEMORY = -5,   /* retry may help */
	NTC_E_NO_DAEMON = -6,   /* nobody answers at the socket; retry may help */
	NTC_E_TIMEOUT = -7,     /* the time given was over; retry may help */
	NTC_E_LEASE = -8,       /* the lease is over, or another process's */
	NTC_E_DENIED = -9,      /* this user or this mode may not do that */
	NTC_E_NO_SPACE = -10,   /* the daemon's disk or quota is full; hits go on; retry may help */
	NTC_E_IO = -11,         /* the disk (the daemon's or ours) reported an error or is read-only; retry may help */
	NTC_E_PROTOCOL = -12,   /* the peer speaks another version, or not our language */
	NTC_E_BUSY = -13,       /* a limit of the daemon is reached; retry helps */
	NTC_E_FORMAT = -14,     /* bytes are not what they should be: damaged or foreign */
	NTC_E_NO_PART = -15,    /* the entry has no part of that name */
};

/* The name ("NTC_E_BUSY") and one clause for people. Static; never NULL; any thread. */
NTC_API const char *ntc_err_name(enum ntc_err err);
NTC_API const char *ntc_err_text(enum ntc_err err);

/* The library's version, "MAJOR.MINOR.PATCH". Static. */
NTC_API const char *ntc_version(void);

/* --- client ------------------------------------------------------------------------------- */

struct ntc_client;

/*
 * What the environment variable NTCACHE ("on", "off", "readonly", "refresh") says, unless options do. Looking after a
 * daemon (ntc_ping(), ntc_list(), ntc_show(), ntc_stats() and, but for read-only, ntc_remove()) works in every mode.
 */
enum ntc_mode {
	NTC_MODE_DEFAULT = 0,   /* what $NTCACHE says: "on" if unset */
	NTC_MODE_ON = 1,
	NTC_MODE_OFF = 2,       /* every look-up NTC_MISS, every acquire NTC_ALONE, every put forgotten (NTC_OK) */
	NTC_MODE_READ_ONLY = 3, /* known entries are used; no lease is taken, puts and removals are NTC_E_DENIED */
	NTC_MODE_REFRESH = 4,   /* nothing known is used; what is made is put and compared */
};

#define NTC_AUTOSTART 1u        /* start a daemon for this user if none answers */
#define NTC_NO_AUTOSTART 2u     /* do not, whatever $NTCACHE_AUTOSTART says */

struct ntc_options {
	size_t size;            /* sizeof(struct ntc_options); NTC_OPTIONS_INIT sets it */
	const char *socket;     /* the one socket to use; NULL: $NTCACHE_SOCKET, else the user's, else the machine's */
	enum ntc_mode mode;
	unsigned flags;         /* NTC_AUTOSTART, NTC_NO_AUTOSTART */
	const char *name;       /* of this program, shown to people; NULL: the executable's */
	const char *daemon;     /* path of ntcached for autostart; NULL: $NTCACHE_DAEMON, beside the library, PATH.
				 * Its log is beside the socket (SOCKET.log). */
	/* Says things worth knowing, one line each, from any thread of yours inside a call. May be NULL. */
	void (*log)(void *ctx, const char *line);
	void *log_ctx;
};

#define NTC_OPTIONS_INIT { sizeof(struct ntc_options), NULL, NTC_MODE_DEFAULT, 0, NULL, NULL, NULL, NULL }

/*
 * Make a client. `options` is copied and may be NULL. Connects lazily: without a daemon this succeeds.
 * *client is given: ntc_close(). Fails NTC_E_NO_MEMORY, or NTC_E_INVALID ($NTCACHE is no known word).
 */
NTC_API enum ntc_err ntc_open(const struct ntc_options *options, struct ntc_client **client);

/*
 * Report the last hits, let go of every lease, disconnect, free. No other thread may be in a call.
 * Accepts NULL. Entries got from it live on; lease objects still have to be ended (ntc_release()), which then
 * only frees them, and using one is NTC_E_LEASE.
 */
NTC_API void ntc_close(struct ntc_client *client);

/* Is there a daemon? NTC_OK with its process id (pid may be NULL), or NTC_E_NO_DAEMON ... */
NTC_API enum ntc_err ntc_ping(struct ntc_client *client, int timeout_ms, uint64_t *pid);

/* Why the last call on this thread failed, with what to do about it; "" if it did not. Borrowed until the
 * next call of this thread. */
NTC_API const char *ntc_last_error(void);

/* For libraries on top of this one: set what ntc_last_error() says on this thread, and return `err`. */
NTC_API enum ntc_err ntc_explain(enum ntc_err err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Send the hits counted so far. Done about once a second of use and by ntc_close() anyway. */
NTC_API void ntc_report(struct ntc_client *client);

/* --- keys --------------------------------------------------------------------------------- */

/*
 * Build a key in any order, seal it, use it. Adding never fails visibly: the first error sticks and
 * ntc_key_seal() returns it, so callers check once. Names are 1 to 255 printable ASCII characters without
 * space and '='; a name twice is an error. All values are copied.
 */
struct ntc_key;

/* Given: ntc_key_free(). NULL only without memory, and everything below accepts NULL. */
NTC_API struct ntc_key *ntc_key_new(enum ntc_kind kind);
NTC_API void ntc_key_free(struct ntc_key *key);

NTC_API void ntc_key_add_none(struct ntc_key *key, const char *name);
NTC_API void ntc_key_add_bool(struct ntc_key *key, const char *name, bool value);
NTC_API void ntc_key_add_int(struct ntc_key *key, const char *name, int64_t value);
NTC_API void ntc_key_add_uint(struct ntc_key *key, const char *name, uint64_t value);
NTC_API void ntc_key_add_float(struct ntc_key *key, const char *name, double value);
NTC_API void ntc_key_add_string(struct ntc_key *key, const char *name, const char *utf8, size_t len);
NTC_API void ntc_key_add_bytes(struct ntc_key *key, const char *name, const void *bytes, size_t len);

/* For what is too large to be in a key: its SHA-256 stands for it. Reads all of `bytes`. */
NTC_API void ntc_key_add_sha256_of(struct ntc_key *key, const char *name, const void *bytes, size_t len);
/* The same, with a SHA-256 that the caller has already. */
NTC_API void ntc_key_add_sha256(struct ntc_key *key, const char *name, const uint8_t sha256[32]);

/*
 * A list: everything added between begin and end is an item; items (also lists) have no name: pass NULL.
 */
NTC_API void ntc_key_list_begin(struct ntc_key *key, const char *name);
NTC_API void ntc_key_list_end(struct ntc_key *key);

/* Finish: NTC_OK, NTC_E_KEY or NTC_E_TOO_LARGE. Nothing can be added afterwards; sealing again is fine. */
NTC_API enum ntc_err ntc_key_seal(struct ntc_key *key);

/* What is wrong with the key, naming the field; "" if nothing. Borrowed from the key. */
NTC_API const char *ntc_key_error(const struct ntc_key *key);

/* A sealed key from canonical bytes (docs/key.md), copied. NTC_E_KEY if they are not. */
NTC_API enum ntc_err ntc_key_from_bytes(const void *bytes, size_t len, struct ntc_key **key);

/* Of a sealed key: its canonical bytes (borrowed from the key) and its digest. */
NTC_API const void *ntc_key_bytes(const struct ntc_key *key, size_t *len);
NTC_API struct ntc_digest ntc_key_digest_of(const struct ntc_key *key);

/* A digest as 32 hexadecimal digits, and back (false if it is not exactly that). */
#define NTC_DIGEST_TEXT_SIZE 33
NTC_API void ntc_digest_text(const struct ntc_digest *digest, char text[NTC_DIGEST_TEXT_SIZE]);
NTC_API bool ntc_digest_from_text(const char *text, struct ntc_digest *digest);

/* "kernel" ... and back (0 if unknown). Static. */
NTC_API const char *ntc_kind_text(unsigned kind);
NTC_API unsigned ntc_kind_from_text(const char *text);

/* --- fields: reading keys and notes ------------------------------------------------------- */

struct ntc_field_value {
	const char *name;       /* not NUL-terminated; borrowed from what is walked */
	size_t name_len;
	enum ntc_type type;
	const void *value;      /* canonical bytes (docs/key.md); borrowed likewise */
	size_t len;
};

/* Walk a field list: *at starts at 0; false at the end. `bytes` must have come from this library. */
NTC_API bool ntc_field_next(const void *bytes, size_t len, size_t *at, struct ntc_field_value *field);

/*
 * A value for people: numbers, "text" in quotes, [lists], sha256:..., long ones cut with their length. As
 * snprintf(): returns the length needed, writes at most `size` bytes with a NUL.
 */
NTC_API size_t ntc_field_text(const struct ntc_field_value *field, char *out, size_t size);

/* --- entries ------------------------------------------------------------------------------ */

/* An immutable entry, reference-counted. Everything borrowed from it lives until its last unref. */
struct ntc_entry;

struct ntc_part_data {
	const char *name;       /* 1 to 255 printable ASCII characters without '/', no leading '.' */
	const void *data;
	size_t len;
};

/*
 * Build an entry from a sealed key and named parts, all copied. `notes` (may be NULL) is a sealed key of
 * the same kind with what people should know of the maker: put nothing in it that changes from run to run.
 * Fails NTC_E_INVALID (a name), NTC_E_TOO_LARGE, NTC_E_NO_MEMORY.
 */
NTC_API enum ntc_err ntc_entry_new(const struct ntc_key *key, const struct ntc_key *notes,
				   const struct ntc_part_data *parts, size_t count, struct ntc_entry **entry);
NTC_API struct ntc_entry *ntc_entry_ref(struct ntc_entry *entry);
NTC_API void ntc_entry_unref(struct ntc_entry *entry); /* accepts NULL */

NTC_API enum ntc_kind ntc_entry_kind(const struct ntc_entry *entry);
NTC_API struct ntc_digest ntc_entry_digest(const struct ntc_entry *entry);
NTC_API const void *ntc_entry_key(const struct ntc_entry *entry, size_t *len);    /* canonical bytes */
NTC_API const void *ntc_entry_notes(const struct ntc_entry *entry, size_t *len);  /* field list, or len 0 */
NTC_API const void *ntc_entry_body(const struct ntc_entry *entry, size_t *len);   /* the sealed body */
NTC_API size_t ntc_entry_part_count(const struct ntc_entry *entry);

/* Part `i` in order of names; or the part of a name (NTC_E_NO_PART). `name` is not NUL-terminated. */
struct ntc_part_view {
	const char *name;
	size_t name_len;
	const void *data;       /* aligned to 64 bytes */
	size_t len;
};
NTC_API struct ntc_part_view ntc_entry_part(const struct ntc_entry *entry, size_t i);
NTC_API enum ntc_err ntc_entry_find(const struct ntc_entry *entry, const char *name, struct ntc_part_view *part);

/* Where an entry came from. */
enum ntc_source {
	NTC_FROM_MAKER = 0,     /* made in this process */
	NTC_FROM_SEGMENT = 2,
	NTC_FROM_FILE = 3,
	NTC_FROM_SOCKET = 4,
	NTC_FROM_WAIT = 5,      /* somebody made it while we waited */
};
NTC_API enum ntc_source ntc_entry_source(const struct ntc_entry *entry);

/* Who put it; false (and zeros) if it bears no stamp or a damaged one. */
struct ntc_stamp_view {
	uint64_t put_wall_ns, cost_ns;
	uint32_t uid, gid, pid;
	char host[64];
	char exe[96];
};
NTC_API bool ntc_entry_stamp(const struct ntc_entry *entry, struct ntc_stamp_view *stamp);

/*
 * The image of an entry, as bundles hold it: its body with the stamp behind it (docs/entry.md). Writing: `size` bytes, which
 * ntc_entry_image_size() tells, with an empty stamp unless `stamp` and the entry bears a good one. Reading: `image` is copied, and checked
 * whole, the stamp too; NTC_E_FORMAT, NTC_E_TOO_LARGE or NTC_E_NO_MEMORY.
 */
NTC_API size_t ntc_entry_image_size(const struct ntc_entry *entry);
NTC_API void ntc_entry_image(const struct ntc_entry *entry, bool stamp, void *image);
NTC_API enum ntc_err ntc_entry_from_bytes(const void *image, size_t size, struct ntc_entry **entry);

/*
 * All parts as files, published together by one rename into a directory that this user's processes share
 * ($NTCACHE_PARTS, else $XDG_CACHE_HOME/ntcache/parts, else ~/.cache/ntcache/parts), and the path of one:
 * for dlopen(), import and tools. Written once per entry; compared byte by byte at each call, and mended if somebody
 * changed it. *path is given: free(). Fails NTC_E_NO_PART, NTC_E_IO (also where the directory is not this user's
 * alone), NTC_E_NO_SPACE, NTC_E_NO_MEMORY.
 */
NTC_API enum ntc_err ntc_entry_part_path(const struct ntc_entry *entry, const char *name, char **path);

/* --- asking ------------------------------------------------------------------------------- */

/*
 * NTC_OK with *entry given (unref), NTC_MISS, or an error (NTC_E_NO_DAEMON ...). Never waits for a maker. With a
 * timeout of 0 only what can be read without asking is found; NTC_E_TIMEOUT then says that the daemon was not asked.
 */
NTC_API enum ntc_err ntc_lookup(struct ntc_client *client, const struct ntc_key *key, int timeout_ms,
				struct ntc_entry **entry);

/*
 * Look at an entry where it lies in the memory that the daemon shares, without copying it: for code that tolerates bytes
 * that change while it looks. NTC_OK: `fn` was called, and the last time it was, all that it saw was valid from before
 * it was called until after it returned. NTC_MISS: there is no such entry in that memory now (ntc_lookup() may find it
 * elsewhere); `fn` may have been called all the same, up to four times, and what it saw is to be forgotten.
 *
 * While `fn` runs, the bytes may be written over by others: it reads each once, bounds what it computes from them,
 * and believes none of it before ntc_peek() has returned NTC_OK. It keeps no pointer, and takes microseconds. Asks nobody, never waits.
 */
struct ntc_peek;
typedef void ntc_peek_fn(void *ctx, const struct ntc_peek *peek);
NTC_API enum ntc_err ntc_peek(struct ntc_client *client, const struct ntc_key *key, ntc_peek_fn *fn, void *ctx);

/* In `fn`: the data of the part of that name, in the shared memory; false (NULL, 0) if there is none. */
NTC_API bool ntc_peek_part(const struct ntc_peek *peek, const char *name, const void **data, size_t *len);

/*
 * A right to make one key. Given by ntc_acquire(), ended (taken) by ntc_put(), ntc_fail(), ntc_release(). It is the
 * connection's: when that is lost the lease is over (NTC_E_LEASE), and a put goes without it.
 */
struct ntc_lease;

#define NTC_ACQUIRE_RETRY_FAILED 1u     /* pass over a kept failure */

struct ntc_acquire_options {
	size_t size;            /* NTC_ACQUIRE_OPTIONS_INIT sets it */
	int timeout_ms;         /* longest wait for somebody else's result; 0: NTC_ALONE at once where one makes it.
				 * The time that `fn` of acquire_many takes does not count. */
	uint64_t estimate_ns;   /* what making it is expected to cost; 0 = unknown */
	unsigned flags;         /* NTC_ACQUIRE_RETRY_FAILED */
	unsigned width;         /* acquire_many: leases held at once, 0 = 1 */
	uint64_t task;          /* who asks; 0 = this thread */
};
#define NTC_ACQUIRE_OPTIONS_INIT { sizeof(struct ntc_acquire_options), NTC_NO_TIMEOUT, 0, 0, 0, 0 }

/* One answer. Clear it with ntc_answer_clear(); take a pointer out by setting it to NULL first. */
struct ntc_answer {
	enum ntc_err err;               /* NTC_OK, NTC_MAKE, NTC_ALONE, NTC_FAILED or an error */
	struct ntc_entry *entry;        /* with NTC_OK */
	struct ntc_lease *lease;        /* with NTC_MAKE */
	char *log;                      /* with NTC_FAILED: the maker's log, NUL-terminated */
	size_t log_len;
	char why[128];                  /* with NTC_ALONE: why there is no lease */
	uint64_t waited_ns;             /* how long somebody else's work was waited for */
};
NTC_API void ntc_answer_clear(struct ntc_answer *answer);

/*
 * Get the entry or the right to make it; waits while somebody else makes it. Always fills *answer (a
 * fresh or cleared one) and returns answer->err. Errors other than the four normal answers are only
 * NTC_E_INVALID, NTC_E_KEY and NTC_E_NO_MEMORY: whatever is wrong with the daemon is NTC_ALONE.
 */
NTC_API enum ntc_err ntc_acquire(struct ntc_client *client, const struct ntc_key *key,
				 const struct ntc_acquire_options *options, struct ntc_answer *answer);

/*
 * Name all keys at once: known ones come first, leases for what nobody is making come one after the other
 * (at most `width` unfinished), and what others make comes when it is there. `fn` is called once per key on
 * the calling thread; with NTC_MAKE or NTC_ALONE it makes the entry and calls ntc_put() or ntc_fail()
 * before it returns. The answer is borrowed; what `fn` takes out is its own. `fn` returns false to stop:
 * what is outstanding is given up. Returns NTC_OK when every key was answered, NTC_MISS if stopped.
 */
typedef bool ntc_answer_fn(void *ctx, size_t i, struct ntc_answer *answer);
NTC_API enum ntc_err ntc_acquire_many(struct ntc_client *client, const struct ntc_key *const *keys, size_t count,
				      const struct ntc_acquire_options *options, ntc_answer_fn *fn, void *ctx);

/* --- making ------------------------------------------------------------------------------- */

/*
 * Wait for a compile slot just before making. NTC_OK: you have it until the lease ends; NTC_ALONE: go on
 * without (the longest wait was over, or no daemon). A NULL lease is NTC_ALONE at once.
 */
NTC_API enum ntc_err ntc_slot(struct ntc_lease *lease, int timeout_ms);

/* Ask for `time_ms` more from now. NTC_OK or NTC_E_LEASE: it is over, somebody else may be making it. */
NTC_API enum ntc_err ntc_extend(struct ntc_lease *lease, uint64_t time_ms);

/*
 * Hand over what was made, with or without (NULL) a lease, which is taken. `cost_ns` is what making it
 * cost. Returns when other workers can see it: NTC_OK, NTC_KNOWN or NTC_DIFFERS; or why it was not
 * stored. In every case the entry is good and yours to use. A lease of another key or client is NTC_E_INVALID;
 * in a forked child the parent's lease is NTC_E_LEASE, and nothing is put.
 */
NTC_API enum ntc_err ntc_put(struct ntc_client *client, struct ntc_lease *lease, struct ntc_entry *entry,
			     uint64_t cost_ns);

/*
 * Wait until everything this client put survives a power cut. NTC_OK, the first failure since the last
 * call, NTC_E_TIMEOUT, or NTC_E_NO_DAEMON if the daemon went away in between (then nobody knows: told once).
 */
NTC_API enum ntc_err ntc_sync(struct ntc_client *client, int timeout_ms);

enum ntc_failure {
	NTC_DETERMINISTIC = 1,  /* it would fail again: everybody who waits gets the log */
	NTC_TRANSIENT = 2,      /* memory, disk, a signal: the next waiter gets the lease */
};
/* End a lease (taken; NULL is fine) without an entry. `log` is copied; at most 64 KiB of it are kept. */
NTC_API enum ntc_err ntc_fail(struct ntc_lease *lease, enum ntc_failure failure, const char *log, size_t len);

/* End a lease (taken; NULL is fine): the next waiter gets it. */
NTC_API void ntc_release(struct ntc_lease *lease);

/*
 * The whole path: look, acquire, wait for a slot, make, put. `make` is called at most once, only when this
 * process has to make it. It returns NTC_OK with *entry given, NTC_FAILED (deterministic) or a negative
 * error (transient), with an optional malloc'ed log in *log.
 *
 * Returns NTC_OK with *entry given; NTC_FAILED with *log given (free(); `log` may be NULL) from this or another
 * process's make; or make's error.
 */
struct ntc_make {
	const struct ntc_key *key;
	struct ntc_lease *lease;        /* NULL: made alone */
	bool has_slot;
};
typedef enum ntc_err ntc_make_fn(void *ctx, const struct ntc_make *make, struct ntc_entry **entry, char **log);
NTC_API enum ntc_err ntc_fetch(struct ntc_client *client, const struct ntc_key *key,
			       const struct ntc_acquire_options *options, ntc_make_fn *make, void *ctx,
			       struct ntc_entry **entry, char **log);

/* --- looking after it --------------------------------------------------------------------- */

/* Remove an entry, by key (nothing else under its digest) or by digest. Also forgets a kept failure. NTC_OK
 * when no new look-up can find it, NTC_MISS if there was none. */
NTC_API enum ntc_err ntc_remove(struct ntc_client *client, const struct ntc_key *key, int timeout_ms);
NTC_API enum ntc_err ntc_remove_digest(struct ntc_client *client, const struct ntc_digest *digest, int timeout_ms);

/*
 * Keep an entry, by key or by digest, from being evicted and from being removed for its age: until ntc_unpin(), called once for
 * each, or until this client is closed or its connection breaks. With NTC_PIN_KEPT for ever, also when the daemon starts again; that is
 * its own user's and root's alone to say (NTC_E_DENIED). Who removes an entry removes a pinned one, too. NTC_OK; NTC_MISS: there is no such
 * entry, or no such pin; NTC_E_BUSY: too many pins (docs/limits.md).
 */
#define NTC_PIN_KEPT 1u
NTC_API enum ntc_err ntc_pin(struct ntc_client *client, const struct ntc_key *key, unsigned flags, int timeout_ms);
NTC_API enum ntc_err ntc_pin_digest(struct ntc_client *client, const struct ntc_digest *digest, unsigned flags,
				    int timeout_ms);
NTC_API enum ntc_err ntc_unpin(struct ntc_client *client, const struct ntc_key *key, unsigned flags, int timeout_ms);
NTC_API enum ntc_err ntc_unpin_digest(struct ntc_client *client, const struct ntc_digest *digest, unsigned flags,
				      int timeout_ms);

struct ntc_row_view {
	struct ntc_digest digest;
	uint32_t kind, uid;
	uint64_t size, put_wall_ns, cost_ns, hits, used, parts, key_len;
	bool pinned;            /* never evicted */
	bool in_index;          /* small: not a file of its own */
	char producer[64];      /* what made it, as its notes say, or ""; printable ASCII, as the next */
	char name[64];          /* what its key calls it, cut to fit, or "" */
};

/* Every entry in order of digests (`kind` 0 = all); `fn` returns false to stop. */
typedef bool ntc_row_fn(void *ctx, const struct ntc_row_view *row);
NTC_API enum ntc_err ntc_list(struct ntc_client *client, unsigned kind, int timeout_ms, ntc_row_fn *fn, void *ctx);

/* One entry by digest, for people: counts as no hit. `row` may be NULL. */
NTC_API enum ntc_err ntc_show(struct ntc_client *client, const struct ntc_digest *digest, int timeout_ms,
			      struct ntc_row_view *row, struct ntc_entry **entry);

/*
 * Many of them, several asked for at a time, in the order in which they are given: `fn` gets the place in `digests`, what ntc_show() would
 * return for it (ntc_last_error() says why), and row and entry, borrowed for the call. It returns false to stop. NTC_OK when all were answered or
 * `fn` stopped; else the daemon went away or was silent for `timeout_ms`.
 */
typedef bool ntc_shown_fn(void *ctx, size_t i, enum ntc_err err, const struct ntc_row_view *row,
			  struct ntc_entry *entry);
NTC_API enum ntc_err ntc_show_many(struct ntc_client *client, const struct ntc_digest *digests, size_t count,
				   int timeout_ms, ntc_shown_fn *fn, void *ctx);

/*
 * Have the daemon compare what its disk has of these entries with their checksums and keys. As above; `err` is NTC_OK: it is good, `size`
 * bytes were read; NTC_E_FORMAT: it is damaged, or gone from the disk; NTC_MISS: there is no such entry (any more); else it could not be read. With
 * NTC_VERIFY_REPAIR what is damaged is set aside: a miss from now on.
 */
#define NTC_VERIFY_REPAIR 1u
typedef bool ntc_verified_fn(void *ctx, size_t i, enum ntc_err err, uint64_t size);
NTC_API enum ntc_err ntc_verify_many(struct ntc_client *client, const struct ntc_digest *digests, size_t count,
				     unsigned flags, int timeout_ms, ntc_verified_fn *fn, void *ctx);

/*
 * Put many entries that were made elsewhere or earlier, many under way at a time. `next` gives them (they are unreffed), NULL at the end; `fn`
 * gets each in the same order, borrowed, with what became of it: NTC_OK: new, and durable; NTC_KNOWN; NTC_DIFFERS; or why it was refused
 * (ntc_last_error()). Stamps that the entries bear are taken from the daemon's own user and root, and made anew for others. Returns NTC_OK when all that
 * were given are answered and durable, or `fn` stopped; as above.
 */
typedef struct ntc_entry *ntc_import_next_fn(void *ctx);
typedef bool ntc_import_fn(void *ctx, struct ntc_entry *entry, enum ntc_err err);
NTC_API enum ntc_err ntc_import(struct ntc_client *client, int timeout_ms, ntc_import_next_fn *next,
				ntc_import_fn *fn, void *ctx);

/*
 * Evict what is worth least until the cache keeps these bounds, once; what is pinned or in use stays. And remove what was set aside as
 * damaged. NTC_OK with *result; NTC_E_BUSY while another one is under way.
 */
struct ntc_collect_options {
	size_t size;            /* NTC_COLLECT_OPTIONS_INIT sets it */
	uint64_t max_bytes;     /* of all images; UINT64_MAX = no bound, as the next two */
	uint64_t max_entries;
	uint64_t max_age_ns;    /* since the last use */
	bool quarantine;        /* also remove what was set aside */
};
#define NTC_COLLECT_OPTIONS_INIT { sizeof(struct ntc_collect_options), UINT64_MAX, UINT64_MAX, UINT64_MAX, false }

struct ntc_collect_result {
	uint64_t entries, bytes;    /* that went, and bytes of their images */
	uint64_t files;             /* that had been set aside */
};
NTC_API enum ntc_err ntc_collect(struct ntc_client *client, const struct ntc_collect_options *options, int timeout_ms,
				 struct ntc_collect_result *result);

/* The daemon's counters in order of names (docs/stats.md); `name` is borrowed for the call. */
typedef void ntc_counter_fn(void *ctx, const char *name, int64_t value);
NTC_API enum ntc_err ntc_stats(struct ntc_client *client, int timeout_ms, ntc_counter_fn *fn, void *ctx);

#ifdef __cplusplus
}
#endif

#endif
