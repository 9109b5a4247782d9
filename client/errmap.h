/* From the numbers of the wire to the numbers of the library: the one place. */
#ifndef NTC_CLIENT_ERRMAP_H
#define NTC_CLIENT_ERRMAP_H

#include "client/ntcache.h"
#include "proto/status.h"

/* What a caller is told for a status; NTC_E_PROTOCOL for numbers that are not in the list. */
enum ntc_err ntc_err_from_status(unsigned status);

/* For an errno of the file system: NO_SPACE, NO_MEMORY, DENIED, else IO. */
enum ntc_err ntc_err_from_errno(int err);

#endif
