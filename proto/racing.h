/*
 * Memory that one process writes while others read it: the words of the shared segment (docs/segment.md).
 *
 * Everything read here may be torn or arbitrary. It means something only once a sequence number that was read
 * before (ntc_racing_begin) is found unchanged behind it (ntc_racing_unchanged).
 *
 * No plain load or store ever touches such memory, so no race is undefined: words go through relaxed atomics, and
 * long runs either through those or, on x86-64, through inline assembly (`rep movsb`, vectors), which the language's
 * memory model does not speak of and the processor's does. The sanitizers see the atomics. Shared addresses are
 * multiples of 8, except where bytes are said.
 */
#ifndef NTC_PROTO_RACING_H
#define NTC_PROTO_RACING_H

#include <stdbool.h>

#include "proto/bytes.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NTC_RACING_TSAN 1
#elif __has_feature(address_sanitizer)
#define NTC_RACING_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define NTC_RACING_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define NTC_RACING_ASAN 1
#endif
#if defined(__x86_64__) && !defined(NTC_RACING_TSAN) && !defined(NTC_RACING_ASAN)
#define NTC_RACING_ASM 1
#endif

/*
 * ThreadSanitizer knows no fences. For it each load acquires and each store releases, which orders the same and
 * more; elsewhere that would be dear on processors other than x86.
 */
#ifdef NTC_RACING_TSAN
#define NTC_RACING_LOAD __ATOMIC_ACQUIRE
#define NTC_RACING_STORE __ATOMIC_RELEASE
#define NTC_RACING_FENCE(order) ((void)0)
#else
#define NTC_RACING_LOAD __ATOMIC_RELAXED
#define NTC_RACING_STORE __ATOMIC_RELAXED
#define NTC_RACING_FENCE(order) __atomic_thread_fence(order)
#endif

static inline uint64_t ntc_racing_load(const uint64_t *word)
{
	return __atomic_load_n(word, NTC_RACING_LOAD);
}

static inline void ntc_racing_store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, NTC_RACING_STORE);
}

/* Read a sequence number: everything its writer stored before it set this value is seen behind this. */
static inline uint64_t ntc_racing_begin(const uint64_t *sequence)
{
	return __atomic_load_n(sequence, __ATOMIC_ACQUIRE);
}

/*
 * Whether the sequence number still is what it was: then nothing that was read since is newer. If one of those
 * loads saw a store from behind a ntc_racing_change(), the two fences order that change before this load.
 */
static inline bool ntc_racing_unchanged(const uint64_t *sequence, uint64_t seen)
{
	NTC_RACING_FENCE(__ATOMIC_ACQUIRE);
	return ntc_racing_load(sequence) == seen;
}

/* The writer's side: an odd number before what it guards changes, an even one when it is whole again. */
static inline void ntc_racing_change(uint64_t *sequence)
{
	ntc_racing_store(sequence, ntc_racing_load(sequence) + 1);
	NTC_RACING_FENCE(__ATOMIC_RELEASE);
}

static inline void ntc_racing_whole(uint64_t *sequence)
{
	__atomic_store_n(sequence, ntc_racing_load(sequence) + 1, __ATOMIC_RELEASE);
}

#ifdef NTC_RACING_ASM
/* Whether 64 shared bytes are those of `with`. Not memcmp(): in some libraries that runs astray when bytes change under it. */
static inline bool ntc_racing_equal64(const void *shared, const void *with)
{
	unsigned same;

	__asm__ volatile("movdqu (%1), %%xmm0\n\t"
			 "movdqu 16(%1), %%xmm1\n\t"
			 "movdqu 32(%1), %%xmm2\n\t"
			 "movdqu 48(%1), %%xmm3\n\t"
			 "movdqu (%2), %%xmm4\n\t"
			 "movdqu 16(%2), %%xmm5\n\t"
			 "movdqu 32(%2), %%xmm6\n\t"
			 "movdqu 48(%2), %%xmm7\n\t"
			 "pcmpeqb %%xmm4, %%xmm0\n\t"
			 "pcmpeqb %%xmm5, %%xmm1\n\t"
			 "pcmpeqb %%xmm6, %%xmm2\n\t"
			 "pcmpeqb %%xmm7, %%xmm3\n\t"
			 "pand %%xmm1, %%xmm0\n\t"
			 "pand %%xmm3, %%xmm2\n\t"
			 "pand %%xmm2, %%xmm0\n\t"
			 "pmovmskb %%xmm0, %0"
			 : "=r"(same)
			 : "r"(shared), "r"(with)
			 : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
	return same == 0xffff;
}

static inline void ntc_racing_move(void *to, const void *from, size_t len)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}
#endif

/* Copy `len` bytes, a multiple of 8, out of shared memory. */
static inline void ntc_racing_copy_out(void *to, const uint64_t *from, size_t len)
{
#ifdef NTC_RACING_ASM
	ntc_racing_move(to, from, len);
#else
	for (size_t i = 0; i < len / 8; i++) {
		uint64_t word = ntc_racing_load(from + i);

		memcpy((uint8_t *)to + 8 * i, &word, sizeof(word));
	}
#endif
}

/* Copy `len` bytes, a multiple of 8, into shared memory. */
static inline void ntc_racing_copy_in(uint64_t *to, const void *from, size_t len)
{
#ifdef NTC_RACING_ASM
	ntc_racing_move(to, from, len);
#else
	for (size_t i = 0; i < len / 8; i++) {
		uint64_t word;

		memcpy(&word, (const uint8_t *)from + 8 * i, sizeof(word));
		ntc_racing_store(to + i, word);
	}
#endif
}

/* Whether `len` shared bytes are those of `with`. Whole words are read: up to 7 bytes behind the last are too. */
bool ntc_racing_equal(const uint64_t *shared, const void *with, size_t len);

#endif
