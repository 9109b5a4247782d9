/* See memory.h. */
#include "kernels/memory.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/sha256.h"
#include "kernels/userdir.h"

#define FILE_MAX (1u << 20)
#define CHECK_LEN 16
#define LINE_MAX_LEN 256

static int open_tools(int flags)
{
	struct stat st;
	int dir, fd;

	if (!ntc_userdir_open(NULL, &dir, NULL))
		return -1;
	fd = openat(dir, "tools", flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	close(dir);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void check_of(const char *text, size_t len, char check[CHECK_LEN + 1])
{
	struct sha256_ctx ctx;
	uint8_t sha256[32];

	sha256_init(&ctx);
	sha256_update(&ctx, len, (const uint8_t *)text);
	ntc_sha256_end(&ctx, sha256);
	ntc_hex(sha256, CHECK_LEN / 2, check);
}

/* A line without its newline, NUL-terminated; false if it is not whole. */
static bool line_parse(const char *text, size_t len, struct ntc_memory_line *line)
{
	char check[CHECK_LEN + 1];
	int at = 0;

	if (len <= CHECK_LEN + 1 || len >= LINE_MAX_LEN || text[len - CHECK_LEN - 1] != ' ')
		return false;
	check_of(text, len - CHECK_LEN - 1, check);
	if (memcmp(text + len - CHECK_LEN, check, CHECK_LEN) != 0)
		return false;
	*line = (struct ntc_memory_line){ 0 };
	if (sscanf(text, "NTC1 %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %71s%n", &line->dev,
		   &line->ino, &line->size, &line->mtime_ns, &line->ctime_ns, line->identity, &at) != 6)
		return false;
	return (size_t)at == len - CHECK_LEN - 1 && strncmp(line->identity, "sha256:", 7) == 0;
}

void ntc_memory_read(ntc_memory_fn *fn, void *ctx)
{
	struct ntc_memory_line line;
	char *text = NULL, *at, *end;
	size_t len = 0;
	ssize_t n;
	int fd = open_tools(O_RDONLY);

	if (fd < 0)
		return;
	text = malloc(FILE_MAX + 1);
	while (text && len < FILE_MAX && (n = read(fd, text + len, FILE_MAX - len)) > 0)
		len += (size_t)n;
	close(fd);
	if (!text)
		return;
	text[len] = '\0';
	for (at = text; (end = memchr(at, '\n', len - (size_t)(at - text))); at = end + 1) {
		*end = '\0';
		if (line_parse(at, (size_t)(end - at), &line))
			fn(ctx, &line);
	}
	free(text);
}

void ntc_memory_append(const struct ntc_memory_line *line)
{
	char text[LINE_MAX_LEN + 1], check[CHECK_LEN + 1];
	struct stat st;
	int fd, len;

	len = snprintf(text, sizeof(text), "NTC1 %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %s", line->dev,
		       line->ino, line->size, line->mtime_ns, line->ctime_ns, line->identity);
	if (len < 0 || (size_t)len + CHECK_LEN + 2 >= LINE_MAX_LEN)
		return;
	check_of(text, (size_t)len, check);
	len += snprintf(text + len, sizeof(text) - (size_t)len, " %s\n", check);
	fd = open_tools(O_WRONLY | O_APPEND | O_CREAT);
	if (fd < 0)
		return;
	/* Losing lines, or this one, costs time only; so both results may be anything. */
	if (fstat(fd, &st) == 0 && st.st_size > (off_t)(FILE_MAX - 2 * LINE_MAX_LEN))
		(void)!ftruncate(fd, 0);
	(void)!write(fd, text, (size_t)len);
	close(fd);
}
