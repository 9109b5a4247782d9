/*
 * Where NVRTC is. Places are looked at in this order, the first that has a library together with its
 * builtins wins, and within a place the newest:
 *
 *     1. $NTCACHE_NVRTC, a library file or a directory: if it is set, nothing else is looked at
 *     2. $CUDA_HOME, $CUDA_PATH, /usr/local/cuda: lib64, lib, targets/x86_64-linux/lib (or sbsa-linux)
 *     3. $LD_LIBRARY_PATH and the system's library directories
 *     4. the Python packages nvidia-cuda-nvrtc: nvidia/cuNN/lib and nvidia/cuda_nvrtc/lib in the site-packages of
 *        $VIRTUAL_ENV, the user and the system
 *
 * libnvrtc opens libnvrtc-builtins by itself, of exactly its own version; it is looked for beside the real file. Nothing is
 * opened here. Any thread, as far as getenv() allows.
 */
#ifndef NTC_KERNELS_FIND_H
#define NTC_KERNELS_FIND_H

#include <stdbool.h>
#include <stddef.h>

struct ntc_nvrtc_files {
	char *library, *builtins;       /* real paths, without symlinks; given: ntc_nvrtc_files_release() */
};

/* False with what is missing and how to mend it in `why`. */
bool ntc_find_nvrtc(struct ntc_nvrtc_files *files, char *why, size_t why_size);

/* The newest in one directory; false if there is none with its builtins. */
bool ntc_find_nvrtc_in(const char *directory, struct ntc_nvrtc_files *files);

/* The newest of the Python packages in the directories that match `site` (a glob pattern). */
bool ntc_find_nvrtc_packages(const char *site, struct ntc_nvrtc_files *files);

void ntc_nvrtc_files_release(struct ntc_nvrtc_files *files);

#endif
