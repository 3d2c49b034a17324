/* golden-check, kinds "decode" and "malformed-images".
 *
 * decode: files and the pixels they must give, as PNG and as SHA-256 of the raw RGB.
 * malformed-images: files that must give an error, or (expect "ok") the pixels named. "partial_ok"
 * allows a page marked as damaged; we mark none, so there too only an error is right. Each within a
 * second, without a block left behind. TIFF and PDF are not read yet: skipped. Copyright snug
 * contributors. SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "base/clock.h"
#include "document/image.h"

#include <string.h>

#define MAX_MS 1000.0

static const char *string_at(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* False after a golden_skip if it is not there. */
static bool read_file(struct golden *g, const char *folder, const char *name, struct snug_blob *out)
{
    uint64_t failed = g->failed;
    if (golden_read(g, folder, name, out))
        return true;
    if (g->failed == failed)
        golden_skip(g, name, "not there");
    return false;
}

static bool is_for_later(const struct snug_blob *blob, const char **what)
{
    enum snug_image_format format = snug_image_sniff(blob->data, blob->size);
    *what = snug_image_format_name(format);
    return format == SNUG_IMAGE_FORMAT_TIFF || format == SNUG_IMAGE_FORMAT_PDF;
}

/* ---- decode ---- */

/* Where the picture first differs from the expected PNG. */
static void say_difference(struct golden *g, const char *folder, const char *name, json_t *page,
                           const struct snug_image *image)
{
    struct snug_blob blob = {0};
    struct snug_image expected = {0};
    const char *png = string_at(page, "png");
    if (!golden_read(g, folder, png, &blob) ||
        snug_image_decode(blob.data, blob.size, 0, png, g->allocator, &expected, NULL) !=
            SNUG_STATUS_OK ||
        expected.width != image->width || expected.height != image->height) {
        golden_fail(g, name, "%lldx%lld, sha256 not %s", (long long)image->width,
                    (long long)image->height, string_at(page, "sha256"));
    } else {
        int64_t at = 0, samples = image->width * image->height * 3, wrong = 0;
        for (int64_t i = samples - 1; i >= 0; i--)
            if (image->pixels[i] != expected.pixels[i]) {
                at = i;
                wrong++;
            }
        golden_fail(g, name,
                    "%lld of %lld samples differ; x %lld, y %lld, channel %lld: %d, expected %d",
                    (long long)wrong, (long long)samples, (long long)(at / 3 % image->width),
                    (long long)(at / 3 / image->width), (long long)(at % 3), image->pixels[at],
                    expected.pixels[at]);
    }
    snug_image_free(&expected);
    snug_blob_free(&blob);
}

static void compare(struct golden *g, const char *folder, const char *name, json_t *page,
                    const struct snug_image *image)
{
    char hex[65];
    golden_sha256(image->pixels, (size_t)(image->width * image->height * 3), hex);
    if (strcmp(hex, string_at(page, "sha256")) == 0)
        golden_pass(g, name, "%lldx%lld", (long long)image->width, (long long)image->height);
    else
        say_difference(g, folder, name, page, image);
}

static void check_decode(struct golden *g, const char *folder, json_t *row)
{
    struct snug_blob blob = {0};
    struct snug_image image = {0};
    struct snug_error error = {0};
    const char *name = string_at(row, "file"), *what;
    json_t *page = json_array_get(json_object_get(row, "pages"), 0);
    if (!read_file(g, folder, name, &blob))
        return;
    enum snug_status status =
        snug_image_decode(blob.data, blob.size, 0, name, g->allocator, &image, &error);
    if (status == SNUG_STATUS_OK && page)
        compare(g, folder, name, page, &image);
    else if (status == SNUG_STATUS_OK)
        golden_fail(g, name, "no page listed");
    else if (status == SNUG_STATUS_UNSUPPORTED && is_for_later(&blob, &what))
        golden_skip(g, name, "%s is not read yet", what);
    else if (strcmp(string_at(row, "level"), "extra") == 0 && status == SNUG_STATUS_UNSUPPORTED &&
             strstr(error.message, name))
        golden_skip(g, name, "nice to have: %s", error.message);
    else
        golden_fail(g, name, "%s: %s", snug_status_text(status), error.message);
    snug_image_free(&image);
    snug_blob_free(&blob);
}

void golden_check_decode(struct golden *g, const char *folder, json_t *manifest)
{
    (void)manifest;
    json_t *cases = golden_json(g, folder, "cases.json");
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_decode(g, folder, json_array_get(cases, i));
    json_decref(cases);
}

/* ---- malformed ---- */

/* What is wrong with the answer, or NULL. */
static const char *judge(json_t *row, const char *name, enum snug_status status,
                         const struct snug_image *image, const struct snug_error *error)
{
    bool must_decode = strcmp(string_at(row, "expect"), "ok") == 0;
    if (must_decode && status == SNUG_STATUS_OK) {
        char hex[65];
        golden_sha256(image->pixels, (size_t)(image->width * image->height * 3), hex);
        return strcmp(hex, string_at(row, "sha256")) == 0 ? NULL : "decodes to other pixels";
    }
    if (must_decode)
        return "refused, but the damage must not matter";
    if (strcmp(string_at(row, "expect"), "error") != 0 &&
        strcmp(string_at(row, "expect"), "partial_ok") != 0)
        return "unknown expectation";
    if (status == SNUG_STATUS_OK)
        return "decodes, but must be refused";
    if (status != SNUG_STATUS_FORMAT && status != SNUG_STATUS_UNSUPPORTED &&
        status != SNUG_STATUS_LIMIT)
        return "not a status for a bad file";
    return strstr(error->message, name) ? NULL : "the message does not name the file";
}

static void check_malformed(struct golden *g, const char *folder, json_t *row)
{
    struct snug_blob blob = {0};
    struct snug_image image = {0};
    struct snug_error error = {0};
    struct snug_counting_allocator counting;
    const char *name = string_at(row, "file"), *what;
    if (!read_file(g, folder, name, &blob))
        return;
    snug_counting_allocator_init(&counting, g->allocator, 0);
    double start_ms = snug_clock_ms();
    enum snug_status status =
        snug_image_decode(blob.data, blob.size, 0, name, &counting.allocator, &image, &error);
    double taken_ms = snug_clock_ms() - start_ms;
    const char *problem = judge(row, name, status, &image, &error);
    snug_image_free(&image);
    if (!problem && counting.live)
        problem = "memory is left behind";
    const char *said = status == SNUG_STATUS_OK ? "decodes" : error.message;
    if (taken_ms > MAX_MS)
        golden_fail(g, name, "took %.0f ms (%s)", taken_ms, said);
    else if (status == SNUG_STATUS_UNSUPPORTED && is_for_later(&blob, &what))
        golden_skip(g, name, "%s is not read yet", what);
    else if (problem)
        golden_fail(g, name, "%s (%s; %s)", problem, string_at(row, "why"), said);
    else
        golden_pass(g, name, "%s", said);
    snug_blob_free(&blob);
}

void golden_check_malformed_images(struct golden *g, const char *folder, json_t *manifest)
{
    (void)manifest;
    json_t *cases = golden_json(g, folder, "cases.json");
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_malformed(g, folder, json_array_get(cases, i));
    json_decref(cases);
}
