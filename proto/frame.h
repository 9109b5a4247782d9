/*
 * Frames: what a connection carries in both directions (docs/protocol.md).
 *
 *     payload length u32 | type u16 | flags u16 | request id u64 | payload
 *
 * A client numbers its requests as it likes; the answer bears the same id, and answers may come in any
 * order. Frames that answer nothing bear id 0. A frame flagged DESCRIPTOR brings one file descriptor,
 * sent (SCM_RIGHTS) with one of the frame's own bytes: a receiver keeps descriptors in order of
 * arrival and gives each such frame the next one.
 *
 * Pure: bytes in, views out.
 */
#ifndef NTC_PROTO_FRAME_H
#define NTC_PROTO_FRAME_H

#include "proto/bytes.h"
#include "proto/status.h"

#define NTC_FRAME_HEADER 16
#define NTC_FRAME_MAX (2u << 20)            /* bytes of a payload */
#define NTC_FRAME_DESCRIPTOR 1u             /* flag: brings one descriptor */
#define NTC_INLINE_MAX (64u << 10)          /* a body or image up to this size travels inside its frame */

struct ntc_frame {
	unsigned type;
	unsigned flags;
	uint64_t id;
	struct ntc_view payload;    /* borrowed from the buffer that was parsed */
};

/*
 * The first frame of `bytes`. OK: *frame and *used are set. NOT_FOUND: more bytes are needed, *used is
 * how many the frame has in all (or the header's size while that is not there yet). BAD_FRAME: the
 * stream is lost, close it.
 */
enum ntc_status ntc_frame_parse(struct ntc_view bytes, struct ntc_frame *frame, size_t *used);

/* Write a header; the payload's bytes follow it. */
void ntc_frame_write_header(uint8_t out[NTC_FRAME_HEADER], unsigned type, unsigned flags, uint64_t id,
			    uint32_t payload_len);

#endif
