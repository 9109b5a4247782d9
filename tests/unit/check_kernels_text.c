/* Options, includes and texts: what a key can vouch for, and what the compiler gets to read. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/includes.h"
#include "kernels/options.h"
#include "kernels/program.h"

static bool options(bool reach, const char *a, const char *b)
{
	const char *words[2] = { a, b };
	char why[256] = "";
	bool good = ntc_options_check(words, b ? 2 : 1, reach, why, sizeof(why));

	ck_assert_int_eq(good, why[0] == '\0');
	return good;
}

START_TEST(options_that_only_change_the_result)
{
	static const char *const fine[] = {
		"--std=c++17", "-std=c++20", "-use_fast_math", "--use_fast_math", "-maxrregcount=64", "-lineinfo", "-G", "-w",
		"--fmad=false", "-ftz=true", "--device-as-default-execution-space", "-default-device", "-rdc=true", "-dc",
		"--diag-suppress=177,20012", "-Ofc=max", "--restrict", "-Xptxas=-O3", "--ptxas-options=-dlcm=cg", "-dopt=on",
		"--minimal", "-split-compile=2", "--extra-device-vectorization",
	};

	for (size_t i = 0; i < NTC_COUNT(fine); i++)
		ck_assert_msg(options(false, fine[i], NULL), "%s", fine[i]);
	ck_assert(options(false, "-maxrregcount", "32"));
	ck_assert(options(false, "-Xptxas", "-v"));
	ck_assert(options(false, "--std", "c++17"));
}
END_TEST

START_TEST(options_that_reach_files)
{
	static const char *const files[] = {
		"-I/usr/include", "-I", "-Idir", "--include-path=dir", "--include-path", "-include=x.h", "-include",
		"--pre-include=x.h", "-pch", "--pch", "--create-pch=x", "--use-pch=x", "--pch-dir=x", "--pch-messages", "-time=x",
		"--time=x", "--time", "-fdevice-time-trace=x", "--fdevice-time-trace=x", "--device-time-trace=x", "--dump-x",
		"--keep", "--keep-dir=x", "--brand-new", "-brand-new=x", "x.h", "@file", "-Xptxas=--options-file=x",
		"--ptxas-options=-o", "-Xptxas=-O3,x", "-Xnvvm=x", "-Xcudafe=--x", "--std=../x", "--fmad=x", "-maxrregcount=a/b", "-w=x",
		"-", "--", "-Xptxas", "-isystem", "-idirafter", "--use-bundled-headers=x",
	};

	for (size_t i = 0; i < NTC_COUNT(files); i++)
		ck_assert_msg(!options(false, files[i], NULL), "%s", files[i]);
	ck_assert(!options(false, "-I", "dir"));
	ck_assert(!options(false, "-maxrregcount", "x.h"));
	ck_assert(!options(false, "-w", "x.h"));
	ck_assert(options(true, "-I", "dir"));
	ck_assert(options(true, "--pre-include=x.h", NULL));
}
END_TEST

START_TEST(options_of_the_spec_itself)
{
	static const char *const own[] = {
		"-arch=sm_90", "--gpu-architecture=sm_90", "-arch", "-DX", "-DX=1", "-D", "-UX", "--define-macro=X",
		"--undefine-macro=X", "--no-cache", "-no-cache", "-dlto", "--optix-ir",
	};

	for (size_t i = 0; i < NTC_COUNT(own); i++) {
		ck_assert_msg(!options(false, own[i], NULL), "%s", own[i]);
		ck_assert_msg(!options(true, own[i], NULL), "%s", own[i]);
	}
}
END_TEST

START_TEST(options_that_record_the_directory)
{
	const char *debug[] = { "-w", "--device-debug" }, *lines[] = { "-lineinfo" }, *none[] = { "-w", "--std=c++17" };

	ck_assert(ntc_options_record_directory(debug, 2));
	ck_assert(ntc_options_record_directory(lines, 1));
	ck_assert(!ntc_options_record_directory(none, 2));
}
END_TEST

/* --- includes ----------------------------------------------------------------------------- */

static bool given(void *ctx, const char *name, size_t len)
{
	(void)ctx;
	return len == 6 && memcmp(name, "/a/b.h", 6) == 0;
}

static bool includes(const char *text)
{
	char why[320] = "";
	bool good = ntc_includes_check(text, strlen(text), "text", given, NULL, why, sizeof(why));

	ck_assert_int_eq(good, why[0] == '\0');
	return good;
}

START_TEST(includes_that_stay_inside)
{
	static const char *const fine[] = {
		"", "int x;", "#include \"x.h\"\n", "#include <cuda_fp16.h>\nint x;", "  #  include \"a/b.h\"", "#include \"/a/b.h\"",
		"// #include </etc/x>\n", "/* \n#include </etc/x>\n*/ int x;", "const char *s = \"#include </etc/x>\";",
		"const char *s = R\"(\n#include </etc/x>\n)\";", "const char *s = u8R\"x(\n)\"\n#include </etc/x>\n)x\";",
		"#ifdef __has_include\n#endif", "#if defined(__has_include) && __has_include(<x.h>)\n#endif",
		"int include = 1; #", "#define including 3\n", "int q = 1'000; // it's\n", "#include /* c */ \"x.h\"",
	};

	for (size_t i = 0; i < NTC_COUNT(fine); i++)
		ck_assert_msg(includes(fine[i]), "%s", fine[i]);
}
END_TEST

START_TEST(includes_that_reach_outside)
{
	static const char *const bad[] = {
		"#include </etc/x>", "#include \"/etc/x\"\n", "int a;\n#include \"/etc/x\"", "#include MACRO", "#include", "#include \"x",
		"%:include </etc/x>", "?\?=include </etc/x>", "#inc\\\nlude </etc/x>", "#include \\\n</etc/x>",
		"#/* c */include/* d\n */</etc/x>", "/* c\n */ #include </etc/x>", "#include_next </etc/x>",
		"#if __has_include(</etc/x>)\n#endif", "#if __has_include(X)\n#endif", "#define H __has_include\n",
		"#if __has_include_next(\"/etc/x\")\n#endif", "char c = '\"';\n#include </etc/x>",
		"const char *s = \"\\\"\";\n#include </etc/x>", "FOOR\"(\"\n#include </etc/x>\n\")\"", "// a \\ \n#include </etc/x>",
		"// a?\?/\n#include </etc/x>", "it's\n#include </etc/x>", "#if 0\nit's \"\n#endif\n#include </etc/x>",
		"int q = 1'000;\n#include </etc/x>", "#include \"/a/b.hh\"", "#include\t\"/etc/x\"", "\v#\finclude\v\"/etc/x\"",
		"/*/\n#include </etc/x>\n*/\n#include </etc/x>", "R\"(a)\" \n#include </etc/x>",
	};

	for (size_t i = 0; i < NTC_COUNT(bad); i++)
		ck_assert_msg(!includes(bad[i]), "%s", bad[i]);
}
END_TEST

/* --- texts -------------------------------------------------------------------------------- */

START_TEST(a_program_is_both_texts_in_order)
{
	char *text = ntc_program_text("int a;", 6, "int b;\n", 7);

	ck_assert_str_eq(text, "#line 1 \"arrangement\"\nint a;\n#line 1 \"application\"\nint b;\n");
	free(text);
	text = ntc_program_text(NULL, 0, "int b;", 6);
	ck_assert_str_eq(text, "#line 1 \"application\"\nint b;\n");
	free(text);
	text = ntc_program_text(NULL, 0, NULL, 0);
	ck_assert_str_eq(text, "");
	free(text);
}
END_TEST

START_TEST(floats_read_back_exactly)
{
	static const double values[] = {
		0.0, -0.0, 1.0, -1.5, 0.1, 1e-5, 3.141592653589793, 1e308, 4.9e-324, 2.2250738585072014e-308,
		2.2250738585072009e-308, -1e-310, 123456789.0, 1.7976931348623157e308,
	};
	char text[NTC_NUMBER_TEXT];

	for (size_t i = 0; i < NTC_COUNT(values); i++) {
		double back;

		ntc_program_float(values[i], text);
		back = strtod(text, NULL);
		ck_assert_msg(memcmp(&back, &values[i], sizeof(back)) == 0, "%a became %s", values[i], text);
	}
	ntc_program_float(INFINITY, text);
	ck_assert_str_eq(text, "__builtin_bit_cast(double, 0x7ff0000000000000ull)");
	ntc_program_float(-INFINITY, text);
	ck_assert_str_eq(text, "__builtin_bit_cast(double, 0xfff0000000000000ull)");
	ntc_program_float(-NAN, text);
	ck_assert_str_eq(text, "__builtin_bit_cast(double, 0x7ff8000000000000ull)");
}
END_TEST

START_TEST(ints_are_decimal)
{
	char text[NTC_NUMBER_TEXT];

	ntc_program_int(-12, text);
	ck_assert_str_eq(text, "-12");
	ntc_program_int(INT64_MAX, text);
	ck_assert_str_eq(text, "9223372036854775807");
	ntc_program_int(INT64_MIN, text);
	ck_assert_str_eq(text, "(-9223372036854775807-1)");
}
END_TEST

START_TEST(macro_names_and_values)
{
	ck_assert(ntc_program_name_valid("BLOCK_SIZE_M"));
	ck_assert(ntc_program_name_valid("_x1"));
	ck_assert(!ntc_program_name_valid(""));
	ck_assert(!ntc_program_name_valid("1x"));
	ck_assert(!ntc_program_name_valid("a-b"));
	ck_assert(!ntc_program_name_valid("a b"));
	ck_assert(!ntc_program_name_valid("f(x)"));
	ck_assert(!ntc_program_name_valid("a=b"));
	ck_assert(!ntc_program_name_valid("defined"));
	ck_assert(ntc_program_value_valid("float"));
	ck_assert(ntc_program_value_valid(""));
	ck_assert(ntc_program_value_valid("a / b, \"//x\", '\"', 1'000"));
	ck_assert(!ntc_program_value_valid("a\nb"));
	ck_assert(!ntc_program_value_valid("a\rb"));
	ck_assert(!ntc_program_value_valid("a \\"));
	ck_assert(!ntc_program_value_valid("a /* b"));
	ck_assert(!ntc_program_value_valid("a // b"));
	ck_assert(!ntc_program_value_valid("\"open"));
	ck_assert(!ntc_program_value_valid("'\\'"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kernels: texts");
	TCase *tcase = tcase_create("texts");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, options_that_only_change_the_result);
	tcase_add_test(tcase, options_that_reach_files);
	tcase_add_test(tcase, options_of_the_spec_itself);
	tcase_add_test(tcase, options_that_record_the_directory);
	tcase_add_test(tcase, includes_that_stay_inside);
	tcase_add_test(tcase, includes_that_reach_outside);
	tcase_add_test(tcase, a_program_is_both_texts_in_order);
	tcase_add_test(tcase, floats_read_back_exactly);
	tcase_add_test(tcase, ints_are_decimal);
	tcase_add_test(tcase, macro_names_and_values);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
