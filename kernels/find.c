/* Locating NVRTC; see find.h. */
#include "kernels/find.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/compiler.h"

#define REMEDY "install it with \"pip install nvidia-cuda-nvrtc\" or a CUDA toolkit, or set NTCACHE_NVRTC to the " \
	       "library or its directory"

#if defined(__aarch64__)
#define TARGET "sbsa-linux"
#define MULTIARCH "aarch64-linux-gnu"
#else
#define TARGET "x86_64-linux"
#define MULTIARCH "x86_64-linux-gnu"
#endif

void ntc_nvrtc_files_release(struct ntc_nvrtc_files *files)
{
	free(files->library);
	free(files->builtins);
	*files = (struct ntc_nvrtc_files){ NULL, NULL };
}

/*
 * The version in a library's name ("13.0" of "libnvrtc.so.13.0", "" of "libnvrtc.so"); NULL if the name is not `stem` and
 * such an ending.
 */
static const char *version_in(const char *name, const char *stem)
{
	size_t len = strlen(stem);

	if (strncmp(name, stem, len) != 0)
		return NULL;
	name += len;
	if (*name == '\0')
		return name;
	if (*name++ != '.' || strspn(name, "0123456789.") != strlen(name))
		return NULL;
	return name;
}

/* Whether builtins of version `theirs` may belong to a library of version `ours`: equal as far as both say. */
static bool versions_agree(const char *ours, const char *theirs)
{
	for (int parts = 0; parts < 2 && *ours && *theirs; parts++) {
		size_t a = strcspn(ours, "."), b = strcspn(theirs, ".");

		if (a != b || memcmp(ours, theirs, a) != 0)
			return false;
		ours += a + (ours[a] == '.');
		theirs += b + (theirs[b] == '.');
	}
	return true;
}

/* The newest file named `stem`[.VERSION] whose version agrees with `like` (NULL: any). */
static bool newest(const char *directory, const char *stem, const char *like, char best[NAME_MAX + 1])
{
	const char *best_version = NULL, *version;
	struct dirent *entry;
	DIR *dir = opendir(directory);

	if (!dir)
		return false;
	while ((entry = readdir(dir))) {
		version = version_in(entry->d_name, stem);
		if (!version || (like && !versions_agree(like, version)))
			continue;
		if (best_version && strverscmp(version, best_version) <= 0)
			continue;
		(void)snprintf(best, NAME_MAX + 1, "%s", entry->d_name);
		best_version = version_in(best, stem);
	}
	closedir(dir);
	return best_version != NULL;
}

static char *real_in(const char *directory, const char *name)
{
	char *path = NULL, *real = NULL;

	if (asprintf(&path, "%s/%s", directory, name) < 0)
		return NULL;
	real = realpath(path, NULL);
	free(path);
	return real;
}

/* The builtins of the library `path`, beside it. */
static char *builtins_of(const char *path)
{
	char stem[NAME_MAX + 1], best[NAME_MAX + 1];
	const char *slash = strrchr(path, '/'), *name = slash + 1, *ending = strstr(name, ".so");
	char *directory = NULL, *found = NULL;

	/* "libnvrtc.so.13", and "libnvrtc.alt.so.13" with "libnvrtc-builtins.alt.so.13.0". */
	if (!slash || strncmp(name, "libnvrtc", 8) != 0 || !ending || ending - name < 8)
		return NULL;
	if (snprintf(stem, sizeof(stem), "libnvrtc-builtins%.*s.so", (int)(ending - name - 8), name + 8) >=
	    (int)sizeof(stem))
		return NULL;
	directory = strndup(path, (size_t)(slash - path));
	if (directory && newest(directory, stem, ending + 3 + (ending[3] == '.'), best))
		found = real_in(directory, best);
	free(directory);
	return found;
}

/* Take `path` (given) as the library if it is a file with builtins. */
static bool take(char *path, struct ntc_nvrtc_files *files)
{
	struct stat st;

	files->library = path;
	files->builtins = path && stat(path, &st) == 0 && S_ISREG(st.st_mode) ? builtins_of(path) : NULL;
	if (files->builtins)
		return true;
	ntc_nvrtc_files_release(files);
	return false;
}

bool ntc_find_nvrtc_in(const char *directory, struct ntc_nvrtc_files *files)
{
	char best[NAME_MAX + 1];

	*files = (struct ntc_nvrtc_files){ NULL, NULL };
	return newest(directory, "libnvrtc.so", NULL, best) && take(real_in(directory, best), files);
}

static bool find_in_toolkit(const char *root, struct ntc_nvrtc_files *files)
{
	static const char *const below[] = { "lib64", "lib", "targets/" TARGET "/lib" };

	for (size_t i = 0; i < NTC_COUNT(below); i++) {
		char *directory = NULL;
		bool found;

		if (asprintf(&directory, "%s/%s", root, below[i]) < 0)
			return false;
		found = ntc_find_nvrtc_in(directory, files);
		free(directory);
		if (found)
			return true;
	}
	return false;
}

static bool find_in_list(const char *list, struct ntc_nvrtc_files *files)
{
	while (*list) {
		size_t len = strcspn(list, ":");
		char *directory = strndup(list, len);
		bool found = directory && len && ntc_find_nvrtc_in(directory, files);

		free(directory);
		if (found)
			return true;
		list += len + (list[len] == ':');
	}
	return false;
}

bool ntc_find_nvrtc_packages(const char *site, struct ntc_nvrtc_files *files)
{
	static const char *const packages[] = { "nvidia/cu[0-9]*/lib", "nvidia/cuda_nvrtc/lib" };
	struct ntc_nvrtc_files here;
	char *pattern = NULL;

	*files = (struct ntc_nvrtc_files){ NULL, NULL };
	for (size_t i = 0; i < NTC_COUNT(packages); i++) {
		glob_t matches = { 0 };

		if (asprintf(&pattern, "%s/%s", site, packages[i]) < 0)
			return files->library != NULL;
		if (glob(pattern, GLOB_NOSORT, NULL, &matches) == 0)
			for (size_t k = 0; k < matches.gl_pathc; k++) {
				if (!ntc_find_nvrtc_in(matches.gl_pathv[k], &here))
					continue;
				/* By the names of the builtins: they alone tell 12.4 from 12.9. */
				if (files->library && strverscmp(strrchr(here.builtins, '/'), strrchr(files->builtins, '/')) <= 0) {
					ntc_nvrtc_files_release(&here);
					continue;
				}
				ntc_nvrtc_files_release(files);
				*files = here;
			}
		globfree(&matches);
		free(pattern);
	}
	return files->library != NULL;
}

static bool find_in_site(const char *prefix, const char *rest, struct ntc_nvrtc_files *files)
{
	char *site = NULL;
	bool found;

	if (!prefix || !*prefix || asprintf(&site, "%s/%s", prefix, rest) < 0)
		return false;
	found = ntc_find_nvrtc_packages(site, files);
	free(site);
	return found;
}

/* $NTCACHE_NVRTC: what it says, or why not. */
static bool find_named(const char *named, struct ntc_nvrtc_files *files, char *why, size_t why_size)
{
	struct stat st;

	if (stat(named, &st) != 0) {
		(void)snprintf(why, why_size, "NTCACHE_NVRTC=%s: %s; %s", named, strerror(errno), REMEDY);
		return false;
	}
	if (S_ISDIR(st.st_mode) ? ntc_find_nvrtc_in(named, files) : take(realpath(named, NULL), files))
		return true;
	(void)snprintf(why, why_size, "NTCACHE_NVRTC=%s: no libnvrtc.so with its libnvrtc-builtins.so there; %s", named,
		       REMEDY);
	return false;
}

bool ntc_find_nvrtc(struct ntc_nvrtc_files *files, char *why, size_t why_size)
{
	static const char *const toolkits[] = { "CUDA_HOME", "CUDA_PATH" };
	const char *named = getenv("NTCACHE_NVRTC"), *value;

	*files = (struct ntc_nvrtc_files){ NULL, NULL };
	if (named && *named)
		return find_named(named, files, why, why_size);
	for (size_t i = 0; i < NTC_COUNT(toolkits); i++) {
		value = getenv(toolkits[i]);
		if (value && *value && find_in_toolkit(value, files))
			return true;
	}
	value = getenv("LD_LIBRARY_PATH");
	if (find_in_toolkit("/usr/local/cuda", files) || (value && find_in_list(value, files)) ||
	    find_in_list("/usr/local/lib:/usr/lib/" MULTIARCH ":/lib/" MULTIARCH ":/usr/lib64:/usr/lib", files))
		return true;
	if (find_in_site(getenv("VIRTUAL_ENV"), "lib/python*/site-packages", files) ||
	    find_in_site(getenv("HOME"), ".local/lib/python*/site-packages", files) ||
	    ntc_find_nvrtc_packages("/usr/local/lib/python*/dist-packages", files) ||
	    ntc_find_nvrtc_packages("/usr/local/lib/python*/site-packages", files) ||
	    ntc_find_nvrtc_packages("/usr/lib/python3/dist-packages", files))
		return true;
	(void)snprintf(why, why_size,
		       "no NVRTC found (looked in CUDA_HOME, CUDA_PATH, /usr/local/cuda, the library directories and "
		       "Python's packages); %s", REMEDY);
	return false;
}
