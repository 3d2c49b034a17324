/* Conversion: refusals, damaged converted folders, memory refused anywhere, and a process killed at
 * any write. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "models/converted.h"

#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char out[64], in[512];

static int make_out(void **state)
{
    (void)state;
    snprintf(out, sizeof out, "/tmp/snug-test-XXXXXX");
    snprintf(in, sizeof in, "%s", test_path("tests/golden/internvl/hf-b"));
    return mkdtemp(out) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int remove_out(void **state)
{
    (void)state;
    return nftw(out, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static enum snug_status convert(enum snug_quant quant, const struct snug_allocator *allocator,
                                struct snug_error *error)
{
    struct snug_folder folder = {.path = in, .allocator = allocator};
    struct snug_model_options options = snug_model_options_default();
    uint64_t bytes;
    options.quantize = quant;
    return snug_convert(&folder, out, &options, NULL, NULL, NULL, NULL, allocator, &bytes, error);
}

static enum snug_status load(const struct snug_model_options *options, struct snug_error *error)
{
    struct snug_folder folder = {.path = out, .allocator = snug_allocator_heap()};
    struct snug_model *model = NULL;
    enum snug_status status = snug_model_load(&folder, snug_device_cpu(), NULL, options,
                                              snug_allocator_heap(), &model, error);
    snug_model_free(model);
    return status;
}

static void test_refuses(void **state)
{
    struct snug_error error;
    struct snug_model_options options = snug_model_options_default();
    (void)state;
    assert_ok(convert(SNUG_QUANT_Q8, snug_allocator_heap(), &error));
    assert_ok(load(NULL, &error));
    options.quantize = SNUG_QUANT_Q8;
    assert_ok(load(&options, &error));
    options.quantize = SNUG_QUANT_Q4;
    assert_int_equal(load(&options, &error), SNUG_STATUS_USAGE);
    options = snug_model_options_default();
    options.quantize_skip = 1u << SNUG_PART_VISION;
    assert_int_equal(load(&options, &error), SNUG_STATUS_USAGE);
    /* there is a model in it now */
    assert_int_equal(convert(SNUG_QUANT_Q8, snug_allocator_heap(), &error), SNUG_STATUS_USAGE);
    char kept[512];
    snprintf(kept, sizeof kept, "%s", in);
    snprintf(in, sizeof in, "%s", out); /* a converted one again */
    assert_int_equal(convert(SNUG_QUANT_Q8, snug_allocator_heap(), &error), SNUG_STATUS_USAGE);
    snprintf(in, sizeof in, "%s", kept);
}

/* The converted weights with some bytes of the header replaced by as many others. */
static void damage(const char *from, const char *to)
{
    char path[128];
    struct snug_blob blob;
    struct snug_error error;
    snprintf(path, sizeof path, "%s/model.safetensors", out);
    assert_ok(snug_file_read(path, 1u << 28, snug_allocator_heap(), &blob, &error));
    unsigned char *at = memmem(blob.data, blob.size, from, strlen(from));
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(blob.data, 1, blob.size, file), blob.size);
    fclose(file);
    snug_blob_free(&blob);
}

static void test_damaged(void **state)
{
    static const struct {
        const char *from, *to, *says;
        enum snug_status status;
    } cases[] = {
        {"\"snug_format\":\"1\"", "\"snug_format\":\"2\"", "format 2", SNUG_STATUS_UNSUPPORTED},
        {"\"quantize\":\"q8\"", "\"quantize\":\"q9\"", "quantize", SNUG_STATUS_FORMAT},
        {"\"quantize\":\"q8\"", "\"quantize\":\"q4\"", "shape", SNUG_STATUS_MODEL},
        {"\"quantize_skip\"", "\"quantize_skid\"", "quantize_skip", SNUG_STATUS_FORMAT},
        {"text.layer.0.q.weight", "text.layer.0.Q.weight", "text.layer.0.q.weight is missing",
         SNUG_STATUS_MODEL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_error error = {0};
        assert_ok(convert(SNUG_QUANT_Q8, snug_allocator_heap(), &error));
        damage(cases[i].from, cases[i].to);
        enum snug_status status = load(NULL, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].says))
            fail_msg("case %zu: %s '%s'", i, snug_status_text(status), error.message);
        remove_out(NULL);
        mkdir(out, 0777);
    }
}

static void test_refused_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct snug_counting_allocator counting;
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), n);
        snug_allocator_set_global(&counting.allocator);
        enum snug_status status = convert(SNUG_QUANT_Q4, &counting.allocator, &error);
        snug_allocator_set_global(snug_allocator_heap());
        if (counting.live)
            fail_msg("allocation %llu refused: %llu blocks left", (unsigned long long)n,
                     (unsigned long long)counting.live);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            break;
        }
        if (status != SNUG_STATUS_MEMORY)
            fail_msg("allocation %llu refused: status %s, message '%s'", (unsigned long long)n,
                     snug_status_text(status), error.message);
        assert_int_not_equal(load(NULL, &error), SNUG_STATUS_OK);
    }
}

/* Killed when the file reaches a size, for many sizes: nothing that loads, and a second run
 * completes. (A write beyond RLIMIT_FSIZE raises SIGXFSZ, which ends the process.) */
static void test_killed(void **state)
{
    struct snug_error error;
    (void)state;
    for (rlim_t bytes = 1; bytes < 900000; bytes = bytes * 2 + 4000) {
        pid_t child = fork();
        if (child == 0) {
            struct rlimit limit = {bytes, bytes}, none = {0, 0};
            setrlimit(RLIMIT_CORE, &none);
            setrlimit(RLIMIT_FSIZE, &limit);
            _exit(convert(SNUG_QUANT_Q8, snug_allocator_heap(), &error) ? 1 : 0);
        }
        int result;
        assert_int_equal(waitpid(child, &result, 0), child);
        if (WIFEXITED(result) && WEXITSTATUS(result) == 0) {
            assert_ok(load(NULL, &error));
            remove_out(NULL);
            mkdir(out, 0777);
            continue;
        }
        assert_true(WIFSIGNALED(result));
        assert_int_not_equal(load(NULL, &error), SNUG_STATUS_OK);
    }
    if (load(NULL, &error))
        assert_ok(convert(SNUG_QUANT_Q8, snug_allocator_heap(), &error));
    assert_ok(load(NULL, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refuses, make_out, remove_out),
        cmocka_unit_test_setup_teardown(test_damaged, make_out, remove_out),
        cmocka_unit_test_setup_teardown(test_refused_memory, make_out, remove_out),
        cmocka_unit_test_setup_teardown(test_killed, make_out, remove_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
