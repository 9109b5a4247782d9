/* The catalog of real kernels: enough of them, each its own. (That all compile is shown by the demo.) */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/catalog.h"

/* The keys hold the compiler's identity, so they need one to be found; nothing is opened or compiled. */
static bool have_compiler(void)
{
	struct ntc_compiler_info info;

	return ntc_compiler_find(&info) == NTC_OK;
}

static int compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct ntc_digest));
}

START_TEST(items_are_the_configs_of_the_kernels)
{
	size_t i = 0;

	for (size_t k = 0; k < ntc_catalog_kernel_count(); k++) {
		const struct ntc_catalog_kernel *kernel = ntc_catalog_kernel(k);

		for (size_t c = 0; c < kernel->config_count; c++, i++) {
			struct ntc_catalog_item item = ntc_catalog_item(i);

			ck_assert_ptr_eq(item.kernel, kernel);
			ck_assert_ptr_eq(item.config, &kernel->configs[c]);
		}
	}
	ck_assert_uint_eq(i, ntc_catalog_count());
	ck_assert_uint_ge(i, 60);
}
END_TEST

START_TEST(names_are_unique)
{
	size_t count = ntc_catalog_count();
	char(*names)[NTC_CATALOG_NAME_SIZE] = calloc(count, sizeof(*names));

	ck_assert_ptr_nonnull(names);
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_lt(ntc_catalog_name(i, names[i], sizeof(names[i])), sizeof(names[i]));
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(names[i], names[j]);
	}
	free(names);
}
END_TEST

START_TEST(texts_are_there_and_headers_are_used)
{
	for (size_t k = 0; k < ntc_catalog_kernel_count(); k++) {
		const struct ntc_catalog_kernel *kernel = ntc_catalog_kernel(k);

		ck_assert_ptr_nonnull(strstr(kernel->application.begin, "extern \"C\" __global__"));
		ck_assert_uint_eq(strlen(kernel->application.begin),
				  (size_t)(kernel->application.end - kernel->application.begin));
		ck_assert_uint_eq(strlen(kernel->arrangement.begin),
				  (size_t)(kernel->arrangement.end - kernel->arrangement.begin));
		for (size_t h = 0; h < kernel->header_count; h++) {
			char include[64];
			bool used = strstr(kernel->arrangement.begin, kernel->headers[h].name) != NULL;

			ck_assert_int_lt(snprintf(include, sizeof(include), "#include \"%s\"",
						  kernel->headers[h].name),
					 (int)sizeof(include));
			for (size_t o = 0; o < kernel->header_count; o++)
				used = used || strstr(kernel->headers[o].begin, include);
			ck_assert_msg(used, "%s does not use %s", kernel->name, kernel->headers[h].name);
		}
		/* Every config field is a macro that the texts know: others would only split the key. */
		for (size_t f = 0; f < kernel->field_count; f++)
			ck_assert_msg(strstr(kernel->arrangement.begin, kernel->fields[f].name) ||
					      strstr(kernel->application.begin, kernel->fields[f].name),
				      "%s does not use %s", kernel->name, kernel->fields[f].name);
	}
}
END_TEST

START_TEST(values_are_found_by_name)
{
	struct ntc_catalog_item item = ntc_catalog_item(0);
	int64_t value = 0;

	ck_assert(ntc_catalog_value(item, "BLOCK_SIZE", &value));
	ck_assert_int_eq(value, item.config->values[0]);
	ck_assert(!ntc_catalog_value(item, "BLOCK", &value));
}
END_TEST

START_TEST(specs_are_valid_and_keys_are_distinct)
{
	size_t count = ntc_catalog_count();
	struct ntc_digest *digests;

	if (!have_compiler())
		return;
	digests = calloc(count, sizeof(*digests));
	ck_assert_ptr_nonnull(digests);
	for (size_t i = 0; i < count; i++) {
		struct ntc_kernel_spec *spec = ntc_catalog_spec(i, "sm_90");
		const struct ntc_key *key = NULL;

		ck_assert_ptr_nonnull(spec);
		ck_assert_msg(ntc_kernel_spec_key(spec, &key) == NTC_OK, "%s", ntc_last_error());
		digests[i] = ntc_key_digest_of(key);
		ntc_kernel_spec_free(spec);
	}
	qsort(digests, count, sizeof(*digests), compare_digests);
	for (size_t i = 1; i < count; i++)
		ck_assert_int_ne(compare_digests(&digests[i - 1], &digests[i]), 0);
	free(digests);
}
END_TEST

START_TEST(architectures_are_different_keys)
{
	struct ntc_kernel_spec *a, *b;
	const struct ntc_key *ka = NULL, *kb = NULL;
	struct ntc_digest da, db;

	if (!have_compiler())
		return;
	a = ntc_catalog_spec(0, "sm_90");
	b = ntc_catalog_spec(0, "sm_80");
	ck_assert_int_eq(ntc_kernel_spec_key(a, &ka), NTC_OK);
	ck_assert_int_eq(ntc_kernel_spec_key(b, &kb), NTC_OK);
	da = ntc_key_digest_of(ka);
	db = ntc_key_digest_of(kb);
	ck_assert_int_ne(compare_digests(&da, &db), 0);
	ntc_kernel_spec_free(a);
	ntc_kernel_spec_free(b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("catalog");
	TCase *tc = tcase_create("catalog");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, items_are_the_configs_of_the_kernels);
	tcase_add_test(tc, names_are_unique);
	tcase_add_test(tc, texts_are_there_and_headers_are_used);
	tcase_add_test(tc, values_are_found_by_name);
	tcase_add_test(tc, specs_are_valid_and_keys_are_distinct);
	tcase_add_test(tc, architectures_are_different_keys);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
