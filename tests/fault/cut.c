/* What a power cut leaves; see cut.h. */
#include "tests/fault/cut.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fault/campaign.h"

enum { SECTOR = 512 };

/* How the un-synced part is chosen, for all files, and for all names. */
enum way {
	NOTHING, EVERYTHING,
	A_MOMENT,               /* what was before some moment */
	LAST_FIRST,             /* of each file, what was behind some moment */
	EACH_ONE, EACH_SECTOR, WAYS,
};

/* Indices of records. */
struct list {
	uint32_t *items;
	size_t count, room;
};

struct file {
	uint8_t *bytes;         /* `room` of them, zero behind `len` */
	size_t len, room;
	struct list pending;
	bool settled;
};

struct name {
	uint32_t dir, node;     /* the synced meaning */
	const uint8_t *text;
	size_t len;
	struct list pending;
};

struct state {
	const struct ntc_disk *disk;
	uint64_t random;
	enum way files_way, names_way;
	size_t moment;
	size_t *synced;         /* of each node: the record behind its last sync */
	struct file *files;
	struct name *names;
	size_t name_count;
};

/* SplitMix64. */
static uint64_t random_of(struct state *s)
{
	uint64_t z = s->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void *zeroed(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size);

	ntc_fault_expect(p != NULL, "out of memory");
	return p;
}

static void push(struct list *list, size_t item)
{
	if (list->count == list->room) {
		list->room = list->room ? list->room * 2 : 8;
		list->items = realloc(list->items, list->room * sizeof(*list->items));
		ntc_fault_expect(list->items != NULL, "out of memory");
	}
	list->items[list->count++] = (uint32_t)item;
}

/* --- files -------------------------------------------------------------------------------- */

static void make_room(struct file *f, size_t len)
{
	size_t room = f->room ? f->room : 4096;

	if (len <= f->room)
		return;
	while (room < len)
		room *= 2;
	f->bytes = realloc(f->bytes, room);
	ntc_fault_expect(f->bytes != NULL, "out of memory");
	memset(f->bytes + f->room, 0, room - f->room);
	f->room = room;
}

static void cut_to(struct file *f, size_t len)
{
	make_room(f, len);
	if (f->room > len)
		memset(f->bytes + len, 0, f->room - len);
	f->len = len;
}

static void write_whole(const struct state *s, struct file *f, const struct ntc_disk_record *r)
{
	if (r->what == NTC_DISK_WRITE) {
		make_room(f, r->at + r->len);
		memcpy(f->bytes + r->at, s->disk->bytes + r->bytes, r->len);
		f->len = f->len > r->at + r->len ? f->len : r->at + r->len;
	} else {
		cut_to(f, r->at);
	}
}

/* The part of a write or truncation that is in one sector. */
static void write_sector(const struct state *s, struct file *f, const struct ntc_disk_record *r, size_t sector)
{
	size_t from = sector * SECTOR, to = from + SECTOR;

	if (r->what == NTC_DISK_TRUNCATE) {
		from = from > r->at ? from : r->at;
		if (from < to)
			memset(f->bytes + from, 0, to - from);
		return;
	}
	from = from > r->at ? from : r->at;
	to = to < r->at + r->len ? to : r->at + r->len;
	if (from < to)
		memcpy(f->bytes + from, s->disk->bytes + r->bytes + (from - r->at), to - from);
}

/* One sector as after some of the first `count` records, but for what a truncation that was made took away. */
static void settle_sector(struct state *s, struct file *f, size_t sector, size_t least, size_t count)
{
	const struct ntc_disk_record *records = s->disk->records;
	size_t from = 0, kept;

	for (size_t i = 0; i < least; i++) {
		const struct ntc_disk_record *r = &records[f->pending.items[i]];

		if (r->what == NTC_DISK_TRUNCATE && r->at < (sector + 1) * SECTOR)
			from = i + 1;
	}
	kept = from + random_of(s) % (count - from + 1);
	for (size_t i = 0; i < kept; i++)
		write_sector(s, f, &records[f->pending.items[i]], sector);
}

/* Each sector, and the length, as after some of the first `count` records, of which those before `least` are made. */
static void settle_sectors(struct state *s, struct file *f, size_t least, size_t count)
{
	size_t len = f->len, end = f->len, kept, sectors;

	for (size_t i = 0; i < count; i++) {
		const struct ntc_disk_record *r = &s->disk->records[f->pending.items[i]];

		if (r->at + r->len > end)
			end = r->at + r->len;
	}
	sectors = (end + SECTOR - 1) / SECTOR;
	make_room(f, sectors * SECTOR);
	for (size_t sector = 0; sector < sectors; sector++)
		settle_sector(s, f, sector, least, count);
	kept = least + random_of(s) % (count - least + 1);
	for (size_t i = 0; i < kept; i++) {
		const struct ntc_disk_record *r = &s->disk->records[f->pending.items[i]];

		if (r->what == NTC_DISK_TRUNCATE)
			len = r->at;
		else if (r->at + r->len > len)
			len = r->at + r->len;
	}
	cut_to(f, len);
}

/* How many of the un-synced records are left when some truncation, and with it all behind it, was not made; *least:
 * the record behind the last one that was. */
static size_t cut_truncations(struct state *s, const struct file *f, size_t *least)
{
	size_t count = 0;

	*least = 0;
	for (; count < f->pending.count; count++) {
		if (s->disk->records[f->pending.items[count]].what != NTC_DISK_TRUNCATE)
			continue;
		if (random_of(s) & 1)
			break;
		*least = count + 1;
	}
	return count;
}

static void settle(struct state *s, struct file *f)
{
	bool picks = s->files_way == EACH_SECTOR || s->files_way == EACH_ONE || s->files_way == LAST_FIRST;
	size_t least = 0, count, first;

	if (f->settled || s->files_way == NOTHING)
		return;
	f->settled = true;
	count = picks ? cut_truncations(s, f, &least) : f->pending.count;
	first = s->files_way == LAST_FIRST ? random_of(s) % (count + 1) : 0;
	if (s->files_way == EACH_SECTOR) {
		settle_sectors(s, f, least, count);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const struct ntc_disk_record *r = &s->disk->records[f->pending.items[i]];

		if (s->files_way == A_MOMENT && f->pending.items[i] >= s->moment)
			break;
		if ((picks && r->what == NTC_DISK_TRUNCATE) ||
		    (i >= first && (s->files_way != EACH_ONE || random_of(s) & 1)))
			write_whole(s, f, r);
	}
}

/* --- names -------------------------------------------------------------------------------- */

static struct name *name_of(struct state *s, const struct ntc_disk_record *r)
{
	const uint8_t *text = s->disk->bytes + r->bytes;

	for (size_t i = 0; i < s->name_count; i++) {
		struct name *n = &s->names[i];

		if (n->dir == r->node && n->len == r->len && memcmp(n->text, text, r->len) == 0)
			return n;
	}
	s->names[s->name_count] = (struct name){ .dir = r->node, .text = text, .len = r->len };
	return &s->names[s->name_count++];
}

/* What the name means after the cut: one node, or 0. */
static uint32_t meaning(struct state *s, const struct name *n)
{
	size_t kept = random_of(s) % (n->pending.count + 1);
	uint32_t node = n->node;

	if (s->names_way == NOTHING)
		kept = 0;
	else if (s->names_way == EVERYTHING || s->names_way == A_MOMENT)
		kept = n->pending.count;
	for (size_t i = 0; i < kept; i++)
		if (s->names_way != A_MOMENT || n->pending.items[i] < s->moment)
			node = s->disk->records[n->pending.items[i]].other;
	return node;
}

/* --- the disk ----------------------------------------------------------------------------- */

static void read_record(struct state *s, const struct ntc_cut *cut)
{
	const struct ntc_disk *disk = s->disk;

	for (size_t i = 0; i < cut->at; i++) {
		const struct ntc_disk_record *r = &disk->records[i];

		if (r->syncs & cut->without)
			continue;
		if (r->what == NTC_DISK_SYNC)
			s->synced[r->node] = i;
		for (size_t n = 0; r->what == NTC_DISK_ALL && n < disk->nodes; n++)
			s->synced[n] = i;
	}
	for (size_t i = 0; i < cut->at; i++) {
		const struct ntc_disk_record *r = &disk->records[i];

		if (r->what == NTC_DISK_WRITE || r->what == NTC_DISK_TRUNCATE) {
			if (i < s->synced[r->node])
				write_whole(s, &s->files[r->node], r);
			else
				push(&s->files[r->node].pending, i);
		} else if (r->what == NTC_DISK_NAME) {
			struct name *n = name_of(s, r);

			if (i < s->synced[r->node])
				n->node = r->other;
			else
				push(&n->pending, i);
		}
	}
}

static void make_file(struct state *s, uint32_t node, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct file *f = &s->files[node];

	settle(s, f);
	ntc_fault_expect(fd >= 0 && (!f->len || write(fd, f->bytes, f->len) == (ssize_t)f->len), "%s: %s", path,
			 strerror(errno));
	close(fd);
}

static void make_dir(struct state *s, uint32_t node, const char *path)
{
	ntc_fault_expect(mkdir(path, 0700) == 0, "%s: %s", path, strerror(errno));
	for (size_t i = 0; i < s->name_count; i++) {
		struct name *n = &s->names[i];
		uint32_t below;
		char text[1024];

		if (n->dir != node)
			continue;
		below = meaning(s, n);
		snprintf(text, sizeof(text), "%s/%.*s", path, (int)n->len, (const char *)n->text);
		if (below && s->disk->directory[below])
			make_dir(s, below, text);
		else if (below)
			make_file(s, below, text);
	}
}

void ntc_cut_make(const struct ntc_disk *disk, const struct ntc_cut *cut, const char *to)
{
	struct state s = { .disk = disk, .random = cut->seed };

	s.synced = zeroed(disk->nodes, sizeof(*s.synced));
	s.files = zeroed(disk->nodes, sizeof(*s.files));
	s.names = zeroed(NTC_DISK_NODES, sizeof(*s.names));
	s.files_way = (enum way)(random_of(&s) % WAYS);
	s.names_way = (enum way)(random_of(&s) % WAYS);
	read_record(&s, cut);
	/* Within what could be un-synced, rather than long before. */
	s.moment = cut->at - random_of(&s) % (cut->at < 64 ? cut->at + 1 : 64);
	make_dir(&s, NTC_DISK_ROOT, to);
}
