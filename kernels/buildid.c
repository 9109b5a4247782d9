/* Build-ids and content hashes of files; see buildid.h. */
#include "kernels/buildid.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "kernels/memory.h"
#include "kernels/sha256.h"

#define NOTES_MAX (64u << 10)           /* bytes of notes looked through */
#define BUILD_ID_MIN 8
#define BUILD_ID_MAX 32
#define REMEMBERED_MAX 4096
#define LASTING_MIN 4096                 /* smaller files are hashed faster than they are worth a line */
#define SETTLED_NS (2 * NTC_NS_PER_S)
#define TREE_MAX 20000
#define TREE_DEPTH 32

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ntc_memory_line *remembered;      /* under lock: in no order, a ring once full */
static size_t count, next_to_go;
static bool lasting_read;

static bool same_file(const struct ntc_memory_line *a, const struct ntc_memory_line *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->size == b->size && a->mtime_ns == b->mtime_ns &&
	       a->ctime_ns == b->ctime_ns;
}

static struct ntc_memory_line file_of(const struct stat *st)
{
	struct ntc_memory_line line = { .dev = st->st_dev, .ino = st->st_ino, .size = (uint64_t)st->st_size };

	line.mtime_ns = (uint64_t)st->st_mtim.tv_sec * NTC_NS_PER_S + (uint64_t)st->st_mtim.tv_nsec;
	line.ctime_ns = (uint64_t)st->st_ctim.tv_sec * NTC_NS_PER_S + (uint64_t)st->st_ctim.tv_nsec;
	return line;
}

/* With the lock held. Without memory nothing is remembered, which costs time only. */
static void remember_locked(const struct ntc_memory_line *line)
{
	if (!remembered)
		remembered = calloc(REMEMBERED_MAX, sizeof(*remembered));
	if (!remembered)
		return;
	if (count < REMEMBERED_MAX)
		remembered[count++] = *line;
	else
		remembered[next_to_go++ % REMEMBERED_MAX] = *line;
}

static void take_lasting(void *ctx, const struct ntc_memory_line *line)
{
	(void)ctx;
	remember_locked(line);
}

static bool recall(struct ntc_memory_line *line)
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (int pass = 0; pass < 2 && !found; pass++) {
		for (size_t i = count; i-- > 0 && !found;)
			if (same_file(&remembered[i], line)) {
				memcpy(line->identity, remembered[i].identity, sizeof(line->identity));
				found = true;
			}
		if (found || lasting_read || line->size < LASTING_MIN)
			break;
		lasting_read = true;
		ntc_memory_read(take_lasting, NULL);
	}
	pthread_mutex_unlock(&lock);
	return found;
}

static void remember(const struct ntc_memory_line *line)
{
	uint64_t now = ntc_clock_wall_ns();

	/* Also not if it was changed in the future: such a clock proves nothing. */
	if (line->ctime_ns > now || now - line->ctime_ns < SETTLED_NS)
		return;
	pthread_mutex_lock(&lock);
	remember_locked(line);
	pthread_mutex_unlock(&lock);
	if (line->size >= LASTING_MIN && strncmp(line->identity, "sha256:", 7) == 0)
		ntc_memory_append(line);
}

void ntc_identity_forget(void)
{
	pthread_mutex_lock(&lock);
	count = 0;
	next_to_go = 0;
	lasting_read = false;
	pthread_mutex_unlock(&lock);
}

/* --- one file ----------------------------------------------------------------------------- */

/* Look for the build-id in one run of notes. */
static bool build_id_in(Elf_Data *notes, char identity[NTC_IDENTITY_SIZE])
{
	size_t at = 0, next, name_at, desc_at;
	GElf_Nhdr note;

	while (at < notes->d_size && (next = gelf_getnote(notes, at, &note, &name_at, &desc_at)) > 0) {
		const uint8_t *bytes = notes->d_buf;

		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(bytes + name_at, "GNU", 4) == 0 &&
		    note.n_descsz >= BUILD_ID_MIN && note.n_descsz <= BUILD_ID_MAX) {
			memcpy(identity, "build-id:", 9);
			ntc_hex(bytes + desc_at, note.n_descsz, identity + 9);
			return true;
		}
		at = next;
	}
	return false;
}

static bool build_id_of(int fd, char identity[NTC_IDENTITY_SIZE])
{
	bool found = false;
	size_t headers = 0;
	Elf *elf;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return false;
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!elf)
		return false;
	if (elf_kind(elf) == ELF_K_ELF && elf_getphdrnum(elf, &headers) == 0)
		for (size_t i = 0; i < headers && !found; i++) {
			Elf_Data *notes;
			GElf_Phdr ph;

			if (!gelf_getphdr(elf, (int)i, &ph) || ph.p_type != PT_NOTE || ph.p_filesz > NOTES_MAX)
				continue;
			notes = elf_getdata_rawchunk(elf, (int64_t)ph.p_offset, ph.p_filesz,
						     ph.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
			found = notes && build_id_in(notes, identity);
		}
	elf_end(elf);
	return found;
}

static bool sha256_of(int fd, char identity[NTC_IDENTITY_SIZE])
{
	enum { CHUNK = 256 << 10 };
	struct sha256_ctx ctx;
	uint8_t sha256[32];
	uint8_t *buf = malloc(CHUNK);
	ssize_t n;
	off_t at = 0;

	if (!buf) {
		errno = ENOMEM;
		return false;
	}
	sha256_init(&ctx);
	while ((n = pread(fd, buf, CHUNK, at)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0) {
			sha256_update(&ctx, (size_t)n, buf);
			at += n;
		}
	free(buf);
	if (n < 0)
		return false;
	ntc_sha256_end(&ctx, sha256);
	memcpy(identity, "sha256:", 7);
	ntc_hex(sha256, sizeof(sha256), identity + 7);
	return true;
}

bool ntc_identity_of_file(const char *path, char identity[NTC_IDENTITY_SIZE])
{
	struct ntc_memory_line line, after;
	bool good = false;
	struct stat st;
	int fd, saved;

	identity[0] = '\0';
	if (stat(path, &st) != 0)
		return false;
	line = file_of(&st);
	if (recall(&line)) {
		memcpy(identity, line.identity, NTC_IDENTITY_SIZE);
		return true;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	/* What is remembered is what was open, and only if it did not change meanwhile. */
	if (fstat(fd, &st) != 0)
		goto out;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		goto out;
	}
	line = file_of(&st);
	if (!build_id_of(fd, identity) && !sha256_of(fd, identity))
		goto out;
	memcpy(line.identity, identity, NTC_IDENTITY_SIZE);
	good = true;
	if (fstat(fd, &st) == 0) {
		after = file_of(&st);
		if (same_file(&line, &after))
			remember(&line);
	}
out:
	saved = errno;
	close(fd);
	if (!good)
		identity[0] = '\0';
	errno = saved;
	return good;
}

/* --- directories -------------------------------------------------------------------------- */

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool add_directory(struct sha256_ctx *ctx, const char *path, const char *shown, bool deep, int depth,
			  size_t *files)
{
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, visible, by_bytes), saved;
	bool good = n >= 0;

	for (int i = 0; i < n; i++) {
		char *file = NULL, *name = NULL, identity[NTC_IDENTITY_SIZE];
		struct stat st;

		if (good && (asprintf(&file, "%s/%s", path, entries[i]->d_name) < 0 ||
			     asprintf(&name, "%s/%s", shown, entries[i]->d_name) < 0)) {
			errno = ENOMEM;
			good = false;
		}
		/* A dangling link is nothing that a command could read. */
		if (good && stat(file, &st) == 0 && S_ISREG(st.st_mode)) {
			if (++*files > TREE_MAX)
				errno = EMFILE;
			good = *files <= TREE_MAX && ntc_identity_of_file(file, identity);
			if (good) {
				sha256_update(ctx, strlen(name) + 1, (const uint8_t *)name);
				sha256_update(ctx, strlen(identity) + 1, (const uint8_t *)identity);
			}
		} else if (good && deep && S_ISDIR(st.st_mode)) {
			if (depth >= TREE_DEPTH)
				errno = ELOOP;
			good = depth < TREE_DEPTH && add_directory(ctx, file, name, deep, depth + 1, files);
		}
		saved = errno;
		free(file);
		free(name);
		free(entries[i]);
		errno = saved;
	}
	saved = errno;
	free(entries);
	errno = saved;
	return good;
}

bool ntc_identity_of_directory(const char *path, bool deep, char identity[NTC_IDENTITY_SIZE])
{
	struct sha256_ctx ctx;
	uint8_t sha256[32];
	size_t files = 0;

	identity[0] = '\0';
	sha256_init(&ctx);
	if (!add_directory(&ctx, path, "", deep, 0, &files))
		return false;
	ntc_sha256_end(&ctx, sha256);
	memcpy(identity, "sha256:", 7);
	ntc_hex(sha256, sizeof(sha256), identity + 7);
	return true;
}
