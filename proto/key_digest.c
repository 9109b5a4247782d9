/* The digest of a key. A file of its own so that a test build can link another (digest.h). */
#include "proto/digest.h"

struct ntc_digest ntc_key_digest(struct ntc_view key)
{
	return ntc_checksum(key);
}
