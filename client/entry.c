/* Entries: building, checking and reading them; see entry.h. */
#include "client/entry.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/errmap.h"
#include "client/explain.h"
#include "client/key.h"

_Static_assert(sizeof(struct ntc_entry) % _Alignof(struct ntc_entry) == 0, "an entry ends where its image begins");

/* The place of the entry in front of its image. */
static struct ntc_entry *place_of(uint8_t *memory)
{
	return (struct ntc_entry *)(void *)memory - 1;
}

uint8_t *ntc_image_memory(size_t size)
{
	/* Bodies are at most NTC_BODY_MAX, so this does not wrap. One allocation of the common sort is what a hit can afford. */
	void *block = malloc(sizeof(struct ntc_entry) + NTC_BODY_ALIGN - 1 + size);
	uintptr_t at = (uintptr_t)block + sizeof(struct ntc_entry) + NTC_BODY_ALIGN - 1;
	uint8_t *memory;

	if (!block)
		return NULL;
	memory = (uint8_t *)(at / NTC_BODY_ALIGN * NTC_BODY_ALIGN);
	place_of(memory)->block = block;
	return memory;
}

void ntc_image_free(uint8_t *memory)
{
	if (memory)
		free(place_of(memory)->block);
}

/* Makes the entry of an image in `memory`. `digest` is the key's. */
static struct ntc_entry *entry_of(uint8_t *memory, const struct ntc_body *body, const uint8_t *stamp,
				  struct ntc_digest digest, enum ntc_source source)
{
	struct ntc_entry *entry = place_of(memory);

	*entry = (struct ntc_entry){
		.block = entry->block,
		.refs = 1,
		.source = source,
		.body = *body,
		.stamp = stamp,
		.digest = digest,
	};
	return entry;
}

/* --- building ----------------------------------------------------------------------------- */

static int compare_parts(const void *a, const void *b)
{
	return ntc_view_compare(((const struct ntc_part *)a)->name, ((const struct ntc_part *)b)->name);
}

/* The caller's parts in order of their names; NULL without memory. */
static struct ntc_part *sort_parts(const struct ntc_part_data *parts, size_t count)
{
	struct ntc_part *sorted = calloc(count ? count : 1, sizeof(*sorted));

	if (!sorted)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		sorted[i].name = ntc_view(parts[i].name, strlen(parts[i].name));
		sorted[i].data = ntc_view(parts[i].data, parts[i].len);
	}
	if (count)
		qsort(sorted, count, sizeof(*sorted), compare_parts);
	return sorted;
}

NTC_API enum ntc_err ntc_entry_new(const struct ntc_key *key, const struct ntc_key *notes,
				   const struct ntc_part_data *parts, size_t count, struct ntc_entry **out)
{
	struct ntc_body_spec spec = { .part_count = count };
	struct ntc_part *sorted;
	struct ntc_reason why;
	struct ntc_body body;
	enum ntc_status st;
	enum ntc_err err;
	uint8_t *memory;
	size_t size;

	ntc_explain_clear();
	if (!out)
		return ntc_explain(NTC_E_INVALID, "no place for the entry");
	*out = NULL;
	err = ntc_key_usable(key);
	if (!err && notes)
		err = ntc_key_usable(notes);
	if (err)
		return err;
	if (count > NTC_PARTS_MAX)
		return ntc_explain(NTC_E_TOO_LARGE, "%zu parts; at most %d", count, NTC_PARTS_MAX);
	for (size_t i = 0; i < count; i++)
		if (!parts || !parts[i].name || (parts[i].len && !parts[i].data))
			return ntc_explain(NTC_E_INVALID, "part %zu has no name or no data", i);
	sorted = sort_parts(parts, count);
	if (!sorted)
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	spec.key = ntc_key_view(key);
	spec.notes = ntc_key_view(notes);
	spec.parts = sorted;
	size = ntc_body_size(&spec, &st, &why);
	if (!size) {
		free(sorted);
		return ntc_explain(st == NTC_ST_TOO_LARGE ? NTC_E_TOO_LARGE : NTC_E_INVALID, "%s", why.text);
	}
	memory = ntc_image_memory(size);
	if (memory)
		ntc_body_write(&spec, memory);
	free(sorted);
	if (!memory)
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	st = ntc_body_parse(ntc_view(memory, size), &body, &why);
	if (st) {
		ntc_image_free(memory);
		return ntc_explain(NTC_E_FORMAT, "%s", why.text);
	}
	*out = entry_of(memory, &body, NULL, ntc_key_digest(body.key), NTC_FROM_MAKER);
	return NTC_OK;
}

enum ntc_status ntc_entry_from_image(uint8_t *memory, size_t size, struct ntc_view key,
				     enum ntc_source source, struct ntc_entry **out,
				     struct ntc_reason *reason)
{
	struct ntc_image image;
	enum ntc_status st;

	*out = NULL;
	st = ntc_image_parse(ntc_view(memory, size), &image, reason);
	if (!st && ntc_body_verify(&image.body))
		st = ntc_reject(reason, NTC_ST_BAD_CHECKSUM, "the image does not match its checksum");
	if (!st && key.len && !ntc_view_equal(image.body.key, key))
		st = ntc_reject(reason, NTC_ST_KEY_MISMATCH, "the image was made for another key");
	if (st) {
		ntc_image_free(memory);
		return st;
	}
	*out = entry_of(memory, &image.body, image.stamp, ntc_key_digest(image.body.key), source);
	return NTC_ST_OK;
}

enum ntc_status ntc_entry_from_segment(uint8_t *memory, size_t size, struct ntc_view key, const struct ntc_digest *digest,
				       struct ntc_entry **out, struct ntc_reason *reason)
{
	struct ntc_image image;
	enum ntc_status st = ntc_image_parse_of(ntc_view(memory, size), key, &image, reason);

	*out = NULL;
	if (st) {
		ntc_image_free(memory);
		return st;
	}
	*out = entry_of(memory, &image.body, image.stamp, *digest, NTC_FROM_SEGMENT);
	return NTC_ST_OK;
}

enum ntc_status ntc_entry_from_fd(int fd, uint64_t size, struct ntc_view key, enum ntc_source source,
				  struct ntc_entry **out, struct ntc_reason *reason)
{
	uint8_t *memory;
	size_t got = 0;

	*out = NULL;
	if (size > NTC_BODY_MAX + NTC_STAMP_SIZE)
		return ntc_reject(reason, NTC_ST_TOO_LARGE, "an image of %llu bytes",
				  (unsigned long long)size);
	memory = ntc_image_memory(size ? (size_t)size : 1);
	if (!memory)
		return ntc_reject(reason, NTC_ST_NO_MEMORY, "out of memory");
	while (got < size) {
		ssize_t n = pread(fd, memory + got, (size_t)size - got, (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int saved = errno;

			ntc_image_free(memory);
			if (n == 0)
				return ntc_reject(reason, NTC_ST_BAD_IMAGE, "the image is cut short");
			return ntc_reject(reason, ntc_status_from_errno(saved), "reading the image: %s",
					  strerror(saved));
		}
		got += (size_t)n;
	}
	return ntc_entry_from_image(memory, (size_t)size, key, source, out, reason);
}

/* --- holding ------------------------------------------------------------------------------ */

NTC_API struct ntc_entry *ntc_entry_ref(struct ntc_entry *entry)
{
	if (entry)
		__atomic_add_fetch(&entry->refs, 1, __ATOMIC_RELAXED);
	return entry;
}

NTC_API void ntc_entry_unref(struct ntc_entry *entry)
{
	if (!entry || __atomic_sub_fetch(&entry->refs, 1, __ATOMIC_ACQ_REL))
		return;
	free(entry->block);
}

/* --- reading ------------------------------------------------------------------------------ */

static const void *give(struct ntc_view view, size_t *len)
{
	if (len)
		*len = view.len;
	return view.p;
}

NTC_API enum ntc_kind ntc_entry_kind(const struct ntc_entry *entry)
{
	return (enum ntc_kind)entry->body.kind;
}

NTC_API struct ntc_digest ntc_entry_digest(const struct ntc_entry *entry)
{
	return entry->digest;
}

NTC_API const void *ntc_entry_key(const struct ntc_entry *entry, size_t *len)
{
	return give(entry->body.key, len);
}

NTC_API const void *ntc_entry_notes(const struct ntc_entry *entry, size_t *len)
{
	return give(entry->body.notes, len);
}

NTC_API const void *ntc_entry_body(const struct ntc_entry *entry, size_t *len)
{
	return give(entry->body.bytes, len);
}

NTC_API size_t ntc_entry_part_count(const struct ntc_entry *entry)
{
	return entry->body.part_count;
}

static struct ntc_part_view part_view(const struct ntc_part *part)
{
	return (struct ntc_part_view){
		.name = (const char *)part->name.p,
		.name_len = part->name.len,
		.data = part->data.p,
		.len = part->data.len,
	};
}

NTC_API struct ntc_part_view ntc_entry_part(const struct ntc_entry *entry, size_t i)
{
	struct ntc_part part;

	if (i >= entry->body.part_count)
		return (struct ntc_part_view){ 0 };
	part = ntc_body_part(&entry->body, i);
	return part_view(&part);
}

NTC_API enum ntc_err ntc_entry_find(const struct ntc_entry *entry, const char *name,
				    struct ntc_part_view *view)
{
	struct ntc_part part;

	ntc_explain_clear();
	if (view)
		*view = (struct ntc_part_view){ 0 };
	if (!entry || !name || !view)
		return ntc_explain(NTC_E_INVALID, "no entry, no name or no place for the part");
	if (!ntc_body_find(&entry->body, ntc_view(name, strlen(name)), &part))
		return ntc_explain(NTC_E_NO_PART, "the entry has no part %.255s", name);
	*view = part_view(&part);
	return NTC_OK;
}

NTC_API enum ntc_source ntc_entry_source(const struct ntc_entry *entry)
{
	return entry->source;
}

NTC_API bool ntc_entry_stamp(const struct ntc_entry *entry, struct ntc_stamp_view *view)
{
	struct ntc_stamp stamp;

	*view = (struct ntc_stamp_view){ 0 };
	if (!entry->stamp || ntc_stamp_read(entry->stamp, &entry->body.checksum, &stamp))
		return false;
	view->put_wall_ns = stamp.put_wall_ns;
	view->cost_ns = stamp.cost_ns;
	view->uid = stamp.uid;
	view->gid = stamp.gid;
	view->pid = stamp.pid;
	memcpy(view->host, stamp.host, sizeof(view->host));
	memcpy(view->exe, stamp.exe, sizeof(view->exe));
	return true;
}

/* --- images ------------------------------------------------------------------------------- */

NTC_API size_t ntc_entry_image_size(const struct ntc_entry *entry)
{
	return entry->body.bytes.len + NTC_STAMP_SIZE;
}

NTC_API void ntc_entry_image(const struct ntc_entry *entry, bool stamp, void *image)
{
	uint8_t *behind = (uint8_t *)image + entry->body.bytes.len;
	struct ntc_stamp good;

	memcpy(image, entry->body.bytes.p, entry->body.bytes.len);
	if (stamp && entry->stamp && ntc_stamp_read(entry->stamp, &entry->body.checksum, &good) == NTC_ST_OK)
		memcpy(behind, entry->stamp, NTC_STAMP_SIZE);
	else
		memset(behind, 0, NTC_STAMP_SIZE);
}

NTC_API enum ntc_err ntc_entry_from_bytes(const void *image, size_t size, struct ntc_entry **entry)
{
	struct ntc_reason why;
	struct ntc_stamp stamp;
	uint8_t *memory = NULL;
	enum ntc_status st;

	ntc_explain_clear();
	if (entry)
		*entry = NULL;
	if (!entry || !image)
		return ntc_explain(NTC_E_INVALID, "no image, or no place for the entry");
	if (size > NTC_BODY_MAX + NTC_STAMP_SIZE)
		return ntc_explain(NTC_E_TOO_LARGE, "an image of %zu bytes", size);
	memory = ntc_image_memory(size ? size : 1);
	if (!memory)
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	memcpy(memory, image, size);
	st = ntc_entry_from_image(memory, size, ntc_view(NULL, 0), NTC_FROM_MAKER, entry, &why);
	if (st)
		return ntc_explain(st == NTC_ST_NO_MEMORY ? NTC_E_NO_MEMORY : NTC_E_FORMAT, "%s", why.text);
	st = ntc_stamp_read((*entry)->stamp, &(*entry)->body.checksum, &stamp);
	if (st && st != NTC_ST_NOT_FOUND) {
		ntc_entry_unref(*entry);
		*entry = NULL;
		return ntc_explain(NTC_E_FORMAT, "its stamp is damaged, or another entry's");
	}
	return NTC_OK;
}
