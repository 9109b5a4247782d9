/* Mapping the shared segment; see mapping.h. */
#include "client/mapping.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct ntc_mapping *ntc_mapping_new(int fd, uint64_t size, uint64_t instance)
{
	struct ntc_mapping *mapping;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	/* Without this seal reading could end in SIGBUS at any time. */
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) || st.st_size < 0 || (uint64_t)st.st_size != size ||
	    size < NTC_SEGMENT_MIN || size > NTC_SEGMENT_MAX)
		return NULL;
	mapping = calloc(1, sizeof(*mapping));
	if (!mapping)
		return NULL;
	mapping->bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (mapping->bytes == MAP_FAILED) {
		free(mapping);
		return NULL;
	}
	mapping->size = size;
	if (ntc_segment_open(mapping->bytes, size, &mapping->segment, NULL) || mapping->segment.instance != instance) {
		ntc_mapping_free(mapping);
		return NULL;
	}
	return mapping;
}

void ntc_mapping_free(struct ntc_mapping *mapping)
{
	if (!mapping)
		return;
	munmap(mapping->bytes, mapping->size);
	free(mapping);
}
