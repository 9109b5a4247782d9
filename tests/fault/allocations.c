/* Allocations that fail on purpose; see allocations.h. */
#include "tests/fault/allocations.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <execinfo.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "tests/fault/campaign.h"

/* The linker makes our objects call __wrap_X for X, and X for __real_X. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
char *__real_realpath(const char *path, char *out);
DIR *__real_fdopendir(int fd);
void __real_free(void *p);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t count, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);
char *__wrap_realpath(const char *path, char *out);
int __wrap_asprintf(char **out, const char *fmt, ...) NTC_PRINTF(2, 3);
DIR *__wrap_fdopendir(int fd);
void __wrap_free(void *p);

enum { BLOCKS = 1 << 17 /* places; far more than live at once */, FRAMES = 8, SHOWN = 10 };

/* Where this allocation is asked for, to standard error. */
static void show_place(void)
{
	void *from[FRAMES];
	int n = backtrace(from, FRAMES);

	backtrace_symbols_fd(from, n, 2);
}

/* --- which one fails ---------------------------------------------------------------------- */

static struct ntc_allocations *state;
static _Thread_local bool is_calm;

void ntc_allocations_arm(struct ntc_allocations *s, unsigned n, bool lasting)
{
	atomic_store(&s->count, 0);
	atomic_store(&s->at, n);
	atomic_store(&s->lasting, lasting);
	atomic_store(&s->fired, false);
	atomic_store(&s->armed, true);
}

void ntc_allocations_disarm(struct ntc_allocations *s)
{
	atomic_store(&s->armed, false);
}

bool ntc_allocations_calm(bool calm)
{
	bool was = is_calm;

	is_calm = calm;
	return was;
}

static bool fails(void)
{
	unsigned n, at;

	if (is_calm || !state || !atomic_load(&state->armed))
		return false;
	n = atomic_fetch_add(&state->count, 1) + 1;
	at = atomic_load(&state->at);
	if (!at || n < at || (n > at && !atomic_load(&state->lasting)))
		return false;
	if (!atomic_exchange(&state->fired, true) && getenv("NTC_FAULT_TRACE"))
		show_place();
	errno = ENOMEM;
	return true;
}

/* --- which ones live ---------------------------------------------------------------------- */

struct block {
	uintptr_t p;            /* 0: free, 1: was used */
	void *from[FRAMES];
};

static struct block *blocks;
static size_t live;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static size_t place_of(const void *p)
{
	return (size_t)((uintptr_t)p * UINT64_C(0x9e3779b97f4a7c15) >> 40) % BLOCKS;
}

static void *born(void *p)
{
	size_t at = place_of(p);

	if (!p || !blocks)
		return p;
	pthread_mutex_lock(&lock);
	while (blocks[at].p > 1)
		at = (at + 1) % BLOCKS;
	blocks[at].p = (uintptr_t)p;
	memset(blocks[at].from, 0, sizeof(blocks[at].from));
	if (getenv("NTC_FAULT_TRACE"))
		(void)backtrace(blocks[at].from, FRAMES);
	live++;
	pthread_mutex_unlock(&lock);
	return p;
}

/* Blocks from before, and those that libc made by itself, are not known: nothing happens. */
static void died(const void *p)
{
	size_t at = place_of(p);

	if (!p || !blocks)
		return;
	pthread_mutex_lock(&lock);
	while (blocks[at].p && blocks[at].p != (uintptr_t)p)
		at = (at + 1) % BLOCKS;
	if (blocks[at].p) {
		/* A free place ends searches, so it may be free only where the next one is. */
		blocks[at].p = blocks[(at + 1) % BLOCKS].p ? 1 : 0;
		live--;
	}
	pthread_mutex_unlock(&lock);
}

size_t ntc_allocations_live(void)
{
	size_t n;

	pthread_mutex_lock(&lock);
	n = live;
	pthread_mutex_unlock(&lock);
	return n;
}

static void show(void)
{
	unsigned shown = 0;

	for (size_t i = 0; blocks && i < BLOCKS && shown < SHOWN; i++) {
		if (blocks[i].p <= 1)
			continue;
		fprintf(stderr, "a block lives%s\n", blocks[i].from[0] ? ":" : "; NTC_FAULT_TRACE=1 says from where");
		if (blocks[i].from[0])
			backtrace_symbols_fd(blocks[i].from, FRAMES, 2);
		shown++;
	}
}

void ntc_allocations_expect_none(void)
{
	(void)sqlite3_shutdown(); /* what it keeps would be counted */
	if (ntc_allocations_live())
		show();
	ntc_fault_expect(ntc_allocations_live() == 0, "%zu blocks leaked", ntc_allocations_live());
}

/* --- ours --------------------------------------------------------------------------------- */

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : born(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : born(__real_calloc(count, size));
}

void *__wrap_realloc(void *p, size_t size)
{
	void *moved;

	if (fails())
		return NULL;
	/* First, or another thread could be given the same place meanwhile. */
	died(p);
	moved = __real_realloc(p, size);
	born(moved ? moved : p);
	return moved;
}

void *__wrap_reallocarray(void *p, size_t count, size_t size)
{
	size_t all;

	if (__builtin_mul_overflow(count, size, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return __wrap_realloc(p, all);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : born(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t len)
{
	return fails() ? NULL : born(__real_strndup(text, len));
}

char *__wrap_realpath(const char *path, char *out)
{
	if (out)
		return __real_realpath(path, out);
	return fails() ? NULL : born(__real_realpath(path, NULL));
}

int __wrap_asprintf(char **out, const char *fmt, ...)
{
	va_list args;
	int n;

	if (fails())
		return -1;
	va_start(args, fmt);
	n = vasprintf(out, fmt, args);
	va_end(args);
	if (n >= 0)
		born(*out);
	return n;
}

DIR *__wrap_fdopendir(int fd)
{
	return fails() ? NULL : __real_fdopendir(fd);
}

void __wrap_free(void *p)
{
	died(p);
	__real_free(p);
}

/* --- SQLite's: blocks that know their size ------------------------------------------------ */

enum { SIZE_AT = 16 };

static void *sqlite_alloc(int size)
{
	char *p = __wrap_malloc((size_t)size + SIZE_AT);

	if (!p)
		return NULL;
	memcpy(p, &size, sizeof(size));
	return p + SIZE_AT;
}

static void sqlite_release(void *p)
{
	if (p)
		__wrap_free((char *)p - SIZE_AT);
}

static void *sqlite_resize(void *p, int size)
{
	char *bigger = __wrap_realloc(p ? (char *)p - SIZE_AT : NULL, (size_t)size + SIZE_AT);

	if (!bigger)
		return NULL;
	memcpy(bigger, &size, sizeof(size));
	return bigger + SIZE_AT;
}

static int sqlite_size(void *p)
{
	int size = 0;

	if (p)
		memcpy(&size, (char *)p - SIZE_AT, sizeof(size));
	return size;
}

static int sqlite_round(int size)
{
	return (size + 7) & ~7;
}

static int sqlite_begin(void *ctx)
{
	(void)ctx;
	return SQLITE_OK;
}

static void sqlite_end(void *ctx)
{
	(void)ctx;
}

void ntc_allocations_take(struct ntc_allocations *own)
{
	static const sqlite3_mem_methods methods = {
		.xMalloc = sqlite_alloc, .xFree = sqlite_release, .xRealloc = sqlite_resize, .xSize = sqlite_size,
		.xRoundup = sqlite_round, .xInit = sqlite_begin, .xShutdown = sqlite_end,
	};
	void *warm[FRAMES];

	/* Its first call loads a library, which allocates. */
	(void)backtrace(warm, FRAMES);
	blocks = __real_calloc(BLOCKS, sizeof(*blocks));
	if (!blocks || sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK) {
		fprintf(stderr, "allocations cannot be taken over\n");
		_exit(2);
	}
	state = own;
	event_set_mem_functions(__wrap_malloc, __wrap_realloc, __wrap_free);
}
