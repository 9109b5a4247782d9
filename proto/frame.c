/* Frames; see frame.h. */
#include "proto/frame.h"

enum ntc_status ntc_frame_parse(struct ntc_view bytes, struct ntc_frame *frame, size_t *used)
{
	struct ntc_reader r = ntc_reader(bytes.p, bytes.len);
	uint32_t len = ntc_read32(&r);
	struct ntc_frame f = { 0 };

	*frame = f;
	*used = NTC_FRAME_HEADER;
	if (bytes.len < NTC_FRAME_HEADER)
		return NTC_ST_NOT_FOUND;
	f.type = ntc_read16(&r);
	f.flags = ntc_read16(&r);
	f.id = ntc_read64(&r);
	if (len > NTC_FRAME_MAX || (f.flags & ~NTC_FRAME_DESCRIPTOR))
		return NTC_ST_BAD_FRAME;
	*used = NTC_FRAME_HEADER + (size_t)len;
	f.payload = ntc_read_view(&r, len);
	if (r.bad)
		return NTC_ST_NOT_FOUND;
	*frame = f;
	return NTC_ST_OK;
}

void ntc_frame_write_header(uint8_t out[NTC_FRAME_HEADER], unsigned type, unsigned flags, uint64_t id,
			    uint32_t payload_len)
{
	ntc_store32(out, payload_len);
	ntc_store16(out + 4, (uint16_t)type);
	ntc_store16(out + 6, (uint16_t)flags);
	ntc_store64(out + 8, id);
}
