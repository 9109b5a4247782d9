/*
 * Little-endian loads and stores, and the two cursors that every codec here is written with.
 *
 * Both cursors are *sticky*: after the first access that does not fit, every later call is a no-op
 * (reads give zero or an empty view) and `bad` stays set, so that a codec checks once, at its end.
 * Lengths are compared with what is left before they are used; nothing is added to a length first.
 *
 * No allocation, no I/O. Views that a reader hands out are borrowed from the bytes it was given.
 */
#ifndef NTC_PROTO_BYTES_H
#define NTC_PROTO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed run of bytes. `p` may be NULL only if `len` is 0. */
struct ntc_view {
	const uint8_t *p;
	size_t len;
};

static inline struct ntc_view ntc_view(const void *p, size_t len)
{
	return (struct ntc_view){ .p = p, .len = len };
}

static inline bool ntc_view_equal(struct ntc_view a, struct ntc_view b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

/* Bytewise order; a proper prefix comes first. */
static inline int ntc_view_compare(struct ntc_view a, struct ntc_view b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.len > b.len) - (a.len < b.len);
}

static inline uint16_t ntc_load16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t ntc_load32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t ntc_load64(const uint8_t *p)
{
	return (uint64_t)ntc_load32(p) | (uint64_t)ntc_load32(p + 4) << 32;
}

static inline void ntc_store16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void ntc_store32(uint8_t *p, uint32_t v)
{
	ntc_store16(p, (uint16_t)v);
	ntc_store16(p + 2, (uint16_t)(v >> 16));
}

static inline void ntc_store64(uint8_t *p, uint64_t v)
{
	ntc_store32(p, (uint32_t)v);
	ntc_store32(p + 4, (uint32_t)(v >> 32));
}

/* --- reading ------------------------------------------------------------------------------ */

struct ntc_reader {
	const uint8_t *p;   /* next byte; borrowed */
	size_t left;        /* bytes from p on */
	bool bad;           /* an access did not fit */
};

static inline struct ntc_reader ntc_reader(const void *p, size_t len)
{
	return (struct ntc_reader){ .p = p, .left = len };
}

/* The next `len` bytes as a view; an empty view and `bad` if they are not there. */
static inline struct ntc_view ntc_read_view(struct ntc_reader *r, size_t len)
{
	struct ntc_view v = { 0 };

	if (r->bad || len > r->left) {
		r->bad = true;
		return v;
	}
	v = ntc_view(r->p, len);
	if (len) {
		r->p += len;
		r->left -= len;
	}
	return v;
}

static inline uint8_t ntc_read8(struct ntc_reader *r)
{
	struct ntc_view v = ntc_read_view(r, 1);

	return v.len ? v.p[0] : 0;
}

static inline uint16_t ntc_read16(struct ntc_reader *r)
{
	struct ntc_view v = ntc_read_view(r, 2);

	return v.len ? ntc_load16(v.p) : 0;
}

static inline uint32_t ntc_read32(struct ntc_reader *r)
{
	struct ntc_view v = ntc_read_view(r, 4);

	return v.len ? ntc_load32(v.p) : 0;
}

static inline uint64_t ntc_read64(struct ntc_reader *r)
{
	struct ntc_view v = ntc_read_view(r, 8);

	return v.len ? ntc_load64(v.p) : 0;
}

/* A 32-bit length and that many bytes. */
static inline struct ntc_view ntc_read_counted(struct ntc_reader *r)
{
	return ntc_read_view(r, ntc_read32(r));
}

/* True when everything was there and nothing is left over. */
static inline bool ntc_read_done(const struct ntc_reader *r)
{
	return !r->bad && r->left == 0;
}

/* --- writing ------------------------------------------------------------------------------ */

/*
 * Writes into the caller's memory. With `p` NULL it only counts, so that one function both measures
 * and writes: `len` is then the size that a second pass needs.
 */
struct ntc_writer {
	uint8_t *p;         /* start of the memory, or NULL to count; borrowed */
	size_t cap;         /* its size; ignored when counting */
	size_t len;         /* bytes written so far */
	bool bad;           /* something did not fit */
};

static inline struct ntc_writer ntc_writer(void *p, size_t cap)
{
	return (struct ntc_writer){ .p = p, .cap = p ? cap : SIZE_MAX };
}

/* Room for `len` bytes, or NULL if counting or if they do not fit. */
static inline uint8_t *ntc_write_room(struct ntc_writer *w, size_t len)
{
	uint8_t *at;

	if (w->bad || len > w->cap - w->len) {
		w->bad = true;
		return NULL;
	}
	at = w->p ? w->p + w->len : NULL;
	w->len += len;
	return at;
}

static inline void ntc_write_bytes(struct ntc_writer *w, const void *p, size_t len)
{
	uint8_t *at = ntc_write_room(w, len);

	if (at && len)
		memcpy(at, p, len);
}

static inline void ntc_write_zeros(struct ntc_writer *w, size_t len)
{
	uint8_t *at = ntc_write_room(w, len);

	if (at && len)
		memset(at, 0, len);
}

static inline void ntc_write8(struct ntc_writer *w, uint8_t v)
{
	ntc_write_bytes(w, &v, 1);
}

static inline void ntc_write16(struct ntc_writer *w, uint16_t v)
{
	uint8_t b[2];

	ntc_store16(b, v);
	ntc_write_bytes(w, b, sizeof(b));
}

static inline void ntc_write32(struct ntc_writer *w, uint32_t v)
{
	uint8_t b[4];

	ntc_store32(b, v);
	ntc_write_bytes(w, b, sizeof(b));
}

static inline void ntc_write64(struct ntc_writer *w, uint64_t v)
{
	uint8_t b[8];

	ntc_store64(b, v);
	ntc_write_bytes(w, b, sizeof(b));
}

/* A 32-bit length and that many bytes. */
static inline void ntc_write_counted(struct ntc_writer *w, struct ntc_view v)
{
	if (v.len > UINT32_MAX) {
		w->bad = true;
		return;
	}
	ntc_write32(w, (uint32_t)v.len);
	ntc_write_bytes(w, v.p, v.len);
}

#endif
