/*
 * The sealed image of an entry (docs/entry.md): the same bytes on the wire, in a blob file, in shared
 * memory and in a bundle.
 *
 *     image = body | stamp
 *     body  = header (64) | key | notes | part table (32 each) | part names | parts
 *
 * The *body* is the maker's: sealed with a checksum, never changed afterwards. The *stamp* is the
 * daemon's: who put it, when, what it cost; 256 bytes with a checksum of their own, bound to their body.
 * There is one layout for a given content: a parser computes where everything has to be and refuses
 * anything else, so an offset is never trusted.
 *
 * Pure: no allocation, no I/O, no state; safe from any thread. All views are borrowed from the bytes
 * that were parsed and live as long as those. The bytes must not change while they are in use: offsets
 * are compared once, when parsing, so memory that others can write to is copied first.
 */
#ifndef NTC_PROTO_ENTRY_H
#define NTC_PROTO_ENTRY_H

#include "proto/bytes.h"
#include "proto/digest.h"
#include "proto/ntcache_types.h"
#include "proto/status.h"

#define NTC_BODY_HEADER 64
#define NTC_BODY_ALIGN 64                   /* of every part, and of the body's length */
#define NTC_PART_ROW 32
#define NTC_PARTS_MAX 1024                  /* parts of one entry */
#define NTC_PART_NAME_MAX 255               /* bytes */
#define NTC_NOTES_MAX (64u << 10)           /* bytes of the maker's notes */
#define NTC_STAMP_SIZE 256
#define NTC_BODY_MAX (UINT64_C(1) << 30)    /* bytes of a body, whatever a daemon's own limit is */

struct ntc_part {
	struct ntc_view name;
	struct ntc_view data;
};

/* What a body is made of. Notes are a field list (proto/key.h) or empty. */
struct ntc_body_spec {
	struct ntc_view key;            /* a key of a known kind */
	struct ntc_view notes;          /* a field list of any kind, or empty */
	const struct ntc_part *parts;   /* sorted by name, no name twice */
	size_t part_count;
};

/* A parsed body. */
struct ntc_body {
	struct ntc_view bytes;          /* all of it */
	unsigned kind;                  /* the key's kind */
	struct ntc_view key;
	struct ntc_view notes;
	size_t part_count;
	struct ntc_digest checksum;     /* as written in it; see ntc_body_verify() */
	const uint8_t *table;           /* private */
};

/* Whether a part may have this name: 1 to 255 bytes of printable ASCII without space and '/', no
 * leading '.', so that it can be a file's name. */
bool ntc_part_name_valid(struct ntc_view name);

/*
 * Check a spec and measure its body; 0 with *reason if it can't be one (BAD_IMAGE, BAD_KEY or TOO_LARGE in
 * *st; OK otherwise).
 */
size_t ntc_body_size(const struct ntc_body_spec *spec, enum ntc_status *st, struct ntc_reason *reason);

/* Write and seal the body into `out`, which has the size that ntc_body_size() returned. */
void ntc_body_write(const struct ntc_body_spec *spec, uint8_t *out);

/*
 * Parse `bytes` as exactly one body: layout, key, notes and names are checked, the checksum is not.
 * Costs no more than reading the key and the table. Fails BAD_IMAGE, BAD_KEY or TOO_LARGE.
 */
enum ntc_status ntc_body_parse(struct ntc_view bytes, struct ntc_body *body, struct ntc_reason *reason);

/* Compare a parsed body with its checksum: OK or BAD_CHECKSUM. Reads every byte. */
enum ntc_status ntc_body_verify(const struct ntc_body *body);

/* Part number `i` (below part_count), or the part of that name (false if there is none). */
struct ntc_part ntc_body_part(const struct ntc_body *body, size_t i);
bool ntc_body_find(const struct ntc_body *body, struct ntc_view name, struct ntc_part *part);

/* --- stamp -------------------------------------------------------------------------------- */

/* What the daemon knows of a put. Texts are NUL-terminated and cut to fit. */
struct ntc_stamp {
	uint64_t put_wall_ns;           /* wall clock, since 1970 */
	uint64_t cost_ns;               /* what making it cost */
	uint32_t uid, gid, pid;         /* the maker's, from the kernel */
	char host[64];                  /* where it was made */
	char exe[96];                   /* the maker's executable; its end where too long */
};

/* Write the stamp of the body whose checksum is given. */
void ntc_stamp_write(const struct ntc_stamp *stamp, const struct ntc_digest *body_checksum,
		     uint8_t out[NTC_STAMP_SIZE]);

/*
 * Read a stamp back: OK; or, with *stamp zero: NOT_FOUND for an empty one (all zeros), BAD_CHECKSUM for a
 * damaged one, KEY_MISMATCH for another body's, BAD_IMAGE for one that is not as ntc_stamp_write() writes it.
 * The texts are not checked: they may hold any bytes but NUL.
 */
enum ntc_status ntc_stamp_read(const uint8_t in[NTC_STAMP_SIZE], const struct ntc_digest *body_checksum,
			       struct ntc_stamp *stamp);

/* --- image -------------------------------------------------------------------------------- */

/* A body and the stamp behind it, as blob files hold them. */
struct ntc_image {
	struct ntc_body body;
	const uint8_t *stamp;           /* NTC_STAMP_SIZE bytes */
};

/* Parse `bytes` as exactly one image; as ntc_body_parse(), the stamp is not looked at. */
enum ntc_status ntc_image_parse(struct ntc_view bytes, struct ntc_image *image, struct ntc_reason *reason);

/*
 * The same where the key has to be `key`, which is known to be canonical: it is compared instead of checked, which is
 * cheaper. KEY_MISMATCH for another one.
 */
enum ntc_status ntc_image_parse_of(struct ntc_view bytes, struct ntc_view key, struct ntc_image *image,
				   struct ntc_reason *reason);

#endif
