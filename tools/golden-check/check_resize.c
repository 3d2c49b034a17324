/* golden-check, kind "resize": resampling to the byte.
 *
 * cases.json: pictures, and their results as PNG and as SHA-256. Filters that the product does not
 * have are skipped. rows.json: pictures of one line with their results as numbers. Copyright snug
 * contributors. SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "document/image.h"

#include <stdio.h>
#include <string.h>

#define MAX_ROW_SAMPLES 4096

/* "" if missing or no string. */
static const char *string_at(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int64_t integer_at(json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* A picture of the folder. False after a golden_skip (not there) or a golden_fail. */
static bool load(struct golden *g, const char *folder, const char *name, struct snug_image *out)
{
    struct snug_blob blob = {0};
    struct snug_error error = {0};
    uint64_t failed = g->failed;
    if (!golden_read(g, folder, name, &blob)) {
        if (g->failed == failed)
            golden_skip(g, name, "not there");
        return false;
    }
    enum snug_status status =
        snug_image_decode(blob.data, blob.size, 0, name, g->allocator, out, &error);
    if (status != SNUG_STATUS_OK)
        golden_fail(g, name, "%s", error.message);
    snug_blob_free(&blob);
    return status == SNUG_STATUS_OK;
}

/* A grey picture comes out as RGB: its first channel is the grey. In place. */
static void keep_channels(struct snug_image *image, int64_t channels)
{
    if (channels == 3)
        return;
    for (int64_t i = 0; i < image->width * image->height; i++)
        image->pixels[i] = image->pixels[i * 3];
}

static bool find_filter(const char *name, enum snug_filter *filter)
{
    *filter = strcmp(name, "bicubic") == 0 ? SNUG_FILTER_BICUBIC : SNUG_FILTER_BILINEAR;
    return *filter == SNUG_FILTER_BICUBIC || strcmp(name, "bilinear") == 0;
}

/* The expected picture shows where the first difference is; the SHA-256 decides. */
static void compare(struct golden *g, const char *folder, json_t *row, const char *label,
                    const unsigned char *result, int64_t width, int64_t height, int64_t channels)
{
    char hex[65];
    struct snug_image expected = {0};
    const char *wanted = string_at(row, "sha256");
    golden_sha256(result, (size_t)(width * height * channels), hex);
    if (strcmp(hex, wanted) == 0) {
        golden_pass(g, label, "%s", hex);
        return;
    }
    if (!load(g, folder, string_at(row, "expected"), &expected)) {
        golden_fail(g, label, "sha256 %s, expected %s", hex, wanted);
        return;
    }
    keep_channels(&expected, channels);
    int64_t at = 0, samples = width * height * channels;
    bool same_size = expected.width == width && expected.height == height;
    while (same_size && at < samples && result[at] == expected.pixels[at])
        at++;
    if (same_size && at < samples)
        golden_fail(g, label, "x %lld, y %lld, channel %lld: %d, expected %d",
                    (long long)(at / channels % width), (long long)(at / channels / width),
                    (long long)(at % channels), result[at], expected.pixels[at]);
    else
        golden_fail(g, label, "sha256 %s, expected %s; the expected PNG does not tell why", hex,
                    wanted);
    snug_image_free(&expected);
}

static void check_case(struct golden *g, const char *folder, json_t *row)
{
    char label[256];
    enum snug_filter filter;
    struct snug_image image = {0};
    struct snug_error error = {0};
    const char *name = string_at(row, "src");
    int64_t width = integer_at(row, "w"), height = integer_at(row, "h");
    int64_t channels = integer_at(row, "channels");
    snprintf(label, sizeof label, "%s to %lldx%lld %s", name, (long long)width, (long long)height,
             string_at(row, "filter"));
    if (!find_filter(string_at(row, "filter"), &filter)) {
        if (json_is_true(json_object_get(row, "optional")))
            golden_skip(g, label, "a filter we do not have");
        else
            golden_fail(g, label, "unknown filter");
        return;
    }
    if ((channels != 1 && channels != 3) || width < 1 || height < 1 || width > SNUG_MAX_SIDE ||
        height > SNUG_MAX_SIDE) {
        golden_fail(g, label, "impossible case");
        return;
    }
    if (!load(g, folder, name, &image))
        return;
    keep_channels(&image, channels);
    unsigned char *result = snug_alloc(g->allocator, (size_t)(width * height * channels));
    if (!result)
        golden_fail(g, label, "out of memory");
    else if (snug_resize(image.pixels, image.width, image.height, (int)channels, width, height,
                         filter, g->allocator, result, &error) != SNUG_STATUS_OK)
        golden_fail(g, label, "%s", error.message);
    else
        compare(g, folder, row, label, result, width, height, channels);
    snug_free(g->allocator, result);
    snug_image_free(&image);
}

/* ---- rows.json ---- */

static size_t read_samples(json_t *list, unsigned char *out)
{
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count && i < MAX_ROW_SAMPLES; i++)
        out[i] = (unsigned char)json_integer_value(json_array_get(list, i));
    return count;
}

static void check_row(struct golden *g, json_t *row, size_t index, const char *key)
{
    unsigned char input[MAX_ROW_SAMPLES], wanted[MAX_ROW_SAMPLES], found[MAX_ROW_SAMPLES];
    char label[64];
    enum snug_filter filter;
    struct snug_error error = {0};
    size_t n = read_samples(json_object_get(row, "in"), input);
    size_t m = read_samples(json_object_get(row, key), wanted);
    snprintf(label, sizeof label, "rows.json row %zu %s", index, key);
    if (!find_filter(key, &filter) || n < 1 || n > MAX_ROW_SAMPLES || m < 1 ||
        m > MAX_ROW_SAMPLES || (int64_t)m != integer_at(row, "m")) {
        golden_fail(g, label, "impossible case");
        return;
    }
    /* As a row and as a column: the two passes are different code. */
    for (int vertical = 0; vertical < 2; vertical++) {
        int64_t from = (int64_t)n, to = (int64_t)m;
        enum snug_status status =
            vertical ? snug_resize(input, 1, from, 1, 1, to, filter, g->allocator, found, &error)
                     : snug_resize(input, from, 1, 1, to, 1, filter, g->allocator, found, &error);
        if (status != SNUG_STATUS_OK) {
            golden_fail(g, label, "%s", error.message);
            return;
        }
        for (size_t i = 0; i < m; i++)
            if (found[i] != wanted[i]) {
                golden_fail(g, label, "%s, sample %zu: %d, expected %d",
                            vertical ? "column" : "row", i, found[i], wanted[i]);
                return;
            }
    }
    golden_pass(g, label, "%zu to %zu samples", n, m);
}

void golden_check_resize(struct golden *g, const char *folder, json_t *manifest)
{
    (void)manifest;
    json_t *cases = golden_json(g, folder, "cases.json");
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(g, folder, json_array_get(cases, i));
    json_decref(cases);
    json_t *rows = golden_json(g, folder, "rows.json");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        check_row(g, json_array_get(rows, i), i, "bicubic");
        check_row(g, json_array_get(rows, i), i, "bilinear");
    }
    json_decref(rows);
}
