/*
 * What this user's processes remember of files across their lives: lines in the file "tools" of the user's directory.
 *
 *     NTC1 dev ino size mtime ctime sha256:HEX check
 *
 * Lines are appended with one write each and never changed; `check` is the start of the SHA-256 of the rest of the
 * line, so a line torn or mixed by a crash is passed over. A file over 1 MiB is started anew. Nothing here can fail in a way
 * that matters: without it files are hashed again. Believed only if it is this user's and nobody else may write it.
 */
#ifndef NTC_KERNELS_MEMORY_H
#define NTC_KERNELS_MEMORY_H

#include <stdint.h>

#include "kernels/ntcache_cuda.h"

struct ntc_memory_line {
	uint64_t dev, ino, size, mtime_ns, ctime_ns;
	char identity[NTC_IDENTITY_SIZE];
};

typedef void ntc_memory_fn(void *ctx, const struct ntc_memory_line *line);

/* Hand every good line to `fn`, oldest first. */
void ntc_memory_read(ntc_memory_fn *fn, void *ctx);

void ntc_memory_append(const struct ntc_memory_line *line);

#endif
