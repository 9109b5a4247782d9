/* What the benches share; see bench.h. */
#include "bench/bench.h"

#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bench/random.h"

void ntc_bench_die(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static void die(const char *what)
{
	ntc_bench_die("%s: %s", what, strerror(errno));
}

/* --- a directory -------------------------------------------------------------------------- */

static const char *filesystem_name(const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs))
		die(path);
	switch ((unsigned long)fs.f_type) {
	case 0xef53:
		return "ext4";
	case 0x58465342:
		return "xfs";
	case 0x9123683e:
		return "btrfs";
	case 0x01021994:
		return "tmpfs (no disk: syncs cost nothing there)";
	case 0x794c7630:
		return "overlayfs";
	default:
		return "a file system of another type";
	}
}

void ntc_bench_dir_make(struct ntc_bench_dir *dir, const char *below)
{
	if (!below && mkdir("build", 0777) && errno != EEXIST)
		die("build");
	if ((size_t)snprintf(dir->path, sizeof(dir->path), "%s/bench-XXXXXX", below ? below : "build") >=
	    sizeof(dir->path)) {
		errno = ENAMETOOLONG;
		die(below);
	}
	if (!mkdtemp(dir->path))
		die(dir->path);
	snprintf(dir->filesystem, sizeof(dir->filesystem), "%s", filesystem_name(dir->path));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void ntc_bench_dir_remove(struct ntc_bench_dir *dir)
{
	if (nftw(dir->path, remove_one, 16, FTW_DEPTH | FTW_PHYS))
		die(dir->path);
}

/* --- times -------------------------------------------------------------------------------- */

void ntc_bench_add(struct ntc_bench_times *times, uint64_t ns)
{
	if (times->count == times->room) {
		times->room = times->room ? times->room * 2 : 256;
		times->ns = reallocarray(times->ns, times->room, sizeof(*times->ns));
		if (!times->ns)
			die("times");
	}
	times->ns[times->count++] = ns;
}

static int by_value(const void *va, const void *vb)
{
	const uint64_t *a = va, *b = vb;

	return (*a > *b) - (*a < *b);
}

uint64_t ntc_bench_quantile(struct ntc_bench_times *times, double q)
{
	if (!times->count)
		return 0;
	qsort(times->ns, times->count, sizeof(*times->ns), by_value);
	return times->ns[(size_t)(q * (double)(times->count - 1))];
}

void ntc_bench_release(struct ntc_bench_times *times)
{
	free(times->ns);
	*times = (struct ntc_bench_times){ 0 };
}

/* --- chance ------------------------------------------------------------------------------- */

uint64_t ntc_bench_random(void)
{
	static struct ntc_random random;

	if (!random.state && getrandom(&random.state, sizeof(random.state), 0) != sizeof(random.state))
		die("getrandom");
	return ntc_random_next(&random);
}
