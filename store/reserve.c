/* Space kept for the index; see reserve.h. */
#include "store/reserve.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>

#include "store/sys.h"

#define NAME "reserve"
#define CHUNK (64u << 10)

/* Bytes that no file system makes smaller. */
static void fill(uint8_t *bytes, uint64_t seed)
{
	for (size_t i = 0; i < CHUNK; i += sizeof(seed)) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		for (size_t k = 0; k < sizeof(seed); k++)
			bytes[i + k] = (uint8_t)(seed >> (56 - 8 * k));
	}
}

static int write_all(int fd)
{
	uint8_t *bytes = malloc(CHUNK);
	int err = bytes ? 0 : -1;

	for (unsigned at = 0; !err && at < NTC_RESERVE_SIZE; at += CHUNK) {
		fill(bytes, at + 1);
		err = ntc_sys_write(fd, bytes, CHUNK, (off_t)at);
	}
	free(bytes);
	return err;
}

void ntc_reserve_keep(struct ntc_reserve *reserve)
{
	uint64_t now = ntc_clock_mono_ns();
	struct stat file;
	int fd;

	if (reserve->there || now < reserve->next_ns)
		return;
	reserve->next_ns = now + NTC_RESERVE_WAIT_NS;
	fd = ntc_sys_open(reserve->dir, NAME, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
	if (fd < 0)
		return; /* another time */
	reserve->there = !ntc_sys_stat(fd, &file) && S_ISREG(file.st_mode) && file.st_size >= NTC_RESERVE_SIZE;
	if (!reserve->there && !ntc_sys_truncate(fd, 0)) {
		reserve->there = !write_all(fd);
		/* A part of it would only take from others what they could use. */
		if (!reserve->there)
			(void)ntc_sys_truncate(fd, 0);
	}
	ntc_sys_close(fd);
}

bool ntc_reserve_spend(struct ntc_reserve *reserve)
{
	int fd;

	if (!reserve->there)
		return false;
	fd = ntc_sys_open(reserve->dir, NAME, O_WRONLY | O_NOFOLLOW, 0);
	if (fd < 0)
		return false;
	reserve->there = ntc_sys_truncate(fd, 0) != 0;
	ntc_sys_close(fd);
	return !reserve->there;
}
