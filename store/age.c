/* The age clock; see age.h. */
#include "store/age.h"

#include "base/clock.h"
#include "proto/bytes.h"

uint64_t ntc_age_read(struct ntc_age *age, uint64_t wall_ns)
{
	uint64_t wall_s = wall_ns / NTC_NS_PER_S;

	if (age->wall_s && wall_s >= age->wall_s && wall_s - age->wall_s <= NTC_AGE_STEP_MAX)
		age->age_s += wall_s - age->wall_s;
	age->wall_s = wall_s;
	return age->age_s;
}

void ntc_age_save(const struct ntc_age *age, uint8_t out[NTC_AGE_SIZE])
{
	ntc_store64(out, age->age_s);
	ntc_store64(out + 8, age->wall_s);
}

struct ntc_age ntc_age_load(const void *p, size_t len)
{
	const uint8_t *in = p;
	struct ntc_age age = { 0 };

	/* Whatever a damaged index says, the sum with all steps to come has to stay far from wrapping. */
	if (len == NTC_AGE_SIZE && ntc_load64(in) <= UINT32_MAX)
		age = (struct ntc_age){ .age_s = ntc_load64(in), .wall_s = ntc_load64(in + 8) };
	return age;
}
