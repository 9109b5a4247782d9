/*
 * What a tool or library file *is*: its GNU build-id, read from the ELF notes, or without one the SHA-256 of its
 * content. As text, "build-id:HEX" or "sha256:HEX".
 *
 * Identities are remembered for the process by device, inode, size, mtime and ctime. SHA-256s of large files are also
 * remembered across processes (in the user's directory, file "tools"): CUDA's programs have no build-ids, and hashing the
 * 190 MB of nvcc's takes 0.9 s, while build-ids cost 30 µs and are read again. A file that
 * changed within the last two seconds is not remembered: a clock tick could hide the next change.
 *
 * Any thread.
 */
#ifndef NTC_KERNELS_BUILDID_H
#define NTC_KERNELS_BUILDID_H

#include <stdbool.h>

#include "kernels/ntcache_cuda.h"

/* The identity of the file `path` (symlinks are followed). False with errno if it can't be read. */
bool ntc_identity_of_file(const char *path, char identity[NTC_IDENTITY_SIZE]);

/*
 * The identity of a directory: "sha256:" over the sorted names and identities of its files whose names do not begin
 * with a dot; with `deep`, over all directories below too. False with errno (EMFILE: more than 20,000 files).
 */
bool ntc_identity_of_directory(const char *path, bool deep, char identity[NTC_IDENTITY_SIZE]);

/* Forget everything in this process's memory; for tests and measurements. */
void ntc_identity_forget(void);

#endif
