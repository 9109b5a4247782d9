/*
 * Which entries go when the cache is over its cap: a pure function over rows, so that a policy can be
 * tested, replayed and exchanged without a store.
 */
#ifndef NTC_STORE_EVICT_H
#define NTC_STORE_EVICT_H

#include <stddef.h>

#include "proto/message.h"

/* To how much of the cap an eviction brings the cache down, so that not every put evicts. */
#define NTC_EVICT_DOWN_PERCENT 95u

/* Bytes to free when `bytes` are over `max_bytes` (0 = no cap); 0 if they are not. */
uint64_t ntc_evict_need(uint64_t bytes, uint64_t max_bytes);

/*
 * Sort `rows` so that those of the least value come first (equal ones by digest) and return how many of
 * the first are to go so that at least `need` bytes are freed; all of them where that does not do.
 */
size_t ntc_evict_choose(struct ntc_row *rows, size_t count, uint64_t need);

#endif
