/*
 * The age clock: seconds that the cache directory has lived through, for limits on age. It follows the
 * wall clock, but a step backwards or of more than a day counts as no time: a wrong clock can't make entries old.
 *
 * Pure; the owner keeps one and saves it in the index under NTC_AGE_NAME.
 */
#ifndef NTC_STORE_AGE_H
#define NTC_STORE_AGE_H

#include <stddef.h>
#include <stdint.h>

#define NTC_AGE_NAME "age"
#define NTC_AGE_SIZE 16u                /* bytes when saved */
#define NTC_AGE_STEP_MAX UINT64_C(86400)

struct ntc_age {
	uint64_t age_s;         /* the reading */
	uint64_t wall_s;        /* the wall clock then; 0 = never read */
};

/* Move on to `wall_ns`, since 1970, and return the reading in seconds. To be called at least once a day. */
uint64_t ntc_age_read(struct ntc_age *age, uint64_t wall_ns);

void ntc_age_save(const struct ntc_age *age, uint8_t out[NTC_AGE_SIZE]);

/* What was saved; a clock at 0 from anything else. */
struct ntc_age ntc_age_load(const void *p, size_t len);

#endif
