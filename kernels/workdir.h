/*
 * A private directory for one command, in the user's directory under "work":
 *
 *     work/XXXXXX/in     the command's working directory, with its inputs
 *     work/XXXXXX/tmp    its HOME and TMPDIR
 *
 * It is locked (flock) while it is in use, so what a killed process left behind is known by its free lock and is
 * removed by the next process that makes one. Any thread.
 */
#ifndef NTC_KERNELS_WORKDIR_H
#define NTC_KERNELS_WORKDIR_H

#include <stdbool.h>
#include <stddef.h>

struct ntc_workdir {
	char *path;             /* of the whole; NULL if there is none */
	char *in, *tmp;         /* paths of the two below */
	int parent, lock, fd;   /* "work", the whole (locked), and in */
};

#define NTC_WORKDIR_INIT { NULL, NULL, NULL, -1, -1, -1 }

/* Make one, and sweep what others left. False with errno. */
bool ntc_workdir_make(struct ntc_workdir *dir);

/*
 * Remove all directories below the descriptor `parent` that are not in use, however young: only where nobody can be
 * making one.
 */
void ntc_workdir_sweep_all(int parent);

/* Remove it with everything below, and free. Accepts a half-made one and NTC_WORKDIR_INIT. Keeps errno. */
void ntc_workdir_remove(struct ntc_workdir *dir);

/* Write the file `name` (a relative path) below `in`. False with errno. */
bool ntc_workdir_write(const struct ntc_workdir *dir, const char *name, const void *data, size_t len);

/*
 * Read the regular file `name` of `in`. *data is given. False with errno: ENOENT also if it is no regular
 * file, EFBIG over `max` bytes.
 */
bool ntc_workdir_read(const struct ntc_workdir *dir, const char *name, size_t max, char **data, size_t *len);

#endif
