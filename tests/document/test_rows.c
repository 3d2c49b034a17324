/* Tests of document/rows.c, and that every format gives the same rows however its bytes come.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "base/files.h"
#include "document/image_internal.h"

#define GOOD "tests/golden/images/decode/in"
#define BAD "tests/golden/images/bad"
#define SEEDS "fuzz/corpus/image"

/* ---- turning ---- */

struct picture {
    int64_t width, height, rows;
    unsigned char *pixels;
    int64_t refuse_row; /* -1: none */
};

static enum snug_status take_row(void *context, const unsigned char *rgb, struct snug_error *error)
{
    struct picture *p = context;
    assert_true(p->rows < p->height);
    if (p->rows == p->refuse_row)
        return snug_error_set(error, SNUG_STATUS_SHAPE, "refused");
    memcpy(p->pixels + p->rows++ * p->width * 3, rgb, (size_t)p->width * 3);
    return SNUG_STATUS_OK;
}

static void fill(unsigned char *pixels, int64_t width, int64_t height)
{
    for (int64_t i = 0; i < width * height; i++) {
        pixels[i * 3] = (unsigned char)(i % width);
        pixels[i * 3 + 1] = (unsigned char)(i / width);
        pixels[i * 3 + 2] = (unsigned char)(i * 7 + 1);
    }
}

/* Where the pixel that is shown at (x, y) was stored: row 0 and column 0 of the stored picture are
 * the edges that EXIF's table names. w, h: stored size. */
static void stored_at(int orientation, int64_t w, int64_t h, int64_t x, int64_t y, int64_t *sx,
                      int64_t *sy)
{
    static const struct {
        int transposed, flip_x, flip_y;
    } table[9] = {{0, 0, 0}, {0, 0, 0}, {0, 1, 0}, {0, 1, 1}, {0, 0, 1},
                  {1, 0, 0}, {1, 0, 1}, {1, 1, 1}, {1, 1, 0}};
    int64_t a = table[orientation].transposed ? y : x, b = table[orientation].transposed ? x : y;
    *sx = table[orientation].flip_x ? w - 1 - a : a;
    *sy = table[orientation].flip_y ? h - 1 - b : b;
}

static void check_turned(int orientation, int64_t w, int64_t h)
{
    static unsigned char stored[128 * 128 * 3], changed[128 * 128 * 3], shown[128 * 128 * 3];
    struct picture p = {orientation >= 5 ? h : w, orientation >= 5 ? w : h, 0, shown, -1};
    const struct snug_row_sink sink = {.row = take_row, .context = &p};
    fill(stored, w, h);
    fill(changed, w, h);
    assert_int_equal(snug_rows_turn(changed, w, h, orientation, snug_allocator_heap(), &sink, NULL),
                     SNUG_STATUS_OK);
    assert_int_equal(p.rows, p.height);
    for (int64_t y = 0; y < p.height; y++)
        for (int64_t x = 0; x < p.width; x++) {
            int64_t sx, sy;
            stored_at(orientation, w, h, x, y, &sx, &sy);
            const unsigned char *found = shown + (y * p.width + x) * 3;
            const unsigned char *wanted = stored + (sy * w + sx) * 3;
            if (memcmp(found, wanted, 3) != 0)
                print_error("orientation %d, %lldx%lld, pixel %lld,%lld: column %d row %d, "
                            "expected %d %d\n",
                            orientation, (long long)w, (long long)h, (long long)x, (long long)y,
                            found[0], found[1], wanted[0], wanted[1]);
            assert_memory_equal(found, wanted, 3);
        }
}

static void test_turning(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 1},   {1, 5},   {5, 1},   {3, 2},
                                       {32, 32}, {33, 64}, {70, 45}, {2, 100}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int orientation = 1; orientation <= 8; orientation++)
            check_turned(orientation, sizes[i][0], sizes[i][1]);
}

static void test_turning_refused(void **state)
{
    (void)state;
    static unsigned char pixels[40 * 3 * 3], shown[40 * 3 * 3];
    for (int orientation = 1; orientation <= 8; orientation++) {
        struct picture p = {orientation >= 5 ? 3 : 40, orientation >= 5 ? 40 : 3, 0, shown, 2};
        const struct snug_row_sink sink = {.row = take_row, .context = &p};
        struct snug_counting_allocator counting;
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
        assert_int_equal(
            snug_rows_turn(pixels, 40, 3, orientation, &counting.allocator, &sink, &error),
            SNUG_STATUS_SHAPE);
        assert_int_equal(p.rows, 2);
        assert_int_equal(counting.live, 0);
        assert_int_equal(counting.requests, orientation >= 5 ? 1 : 0);
        if (orientation < 5)
            continue;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), 1);
        assert_int_equal(
            snug_rows_turn(pixels, 40, 3, orientation, &counting.allocator, &sink, &error),
            SNUG_STATUS_MEMORY);
    }
}

/* ---- every file, however its bytes come ---- */

static bool same_picture(const struct snug_image *a, const struct snug_image *b)
{
    return a->width == b->width && a->height == b->height &&
           memcmp(a->pixels, b->pixels, (size_t)(a->width * a->height * 3)) == 0;
}

/* In memory at once, in memory a few bytes at a time, from the file: the same status, the same
 * message, the same pixels. */
static void check_file(const char *file, int64_t *good)
{
    static const size_t limits[] = {0, 1, 2, 3, 5, 13, 64};
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_error error = {0}, other_error = {0};
    struct snug_blob blob = {0};
    struct snug_image image = {0};
    assert_ok(snug_file_read(file, 1 << 24, heap, &blob, &error));
    enum snug_status status =
        snug_image_decode(blob.data, blob.size, 1 << 22, file, heap, &image, &error);
    *good += status == SNUG_STATUS_OK;
    for (int from_file = 0; from_file < 2; from_file++)
        for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
            struct snug_bytes bytes = snug_bytes_of(file, blob.data, blob.size);
            const struct snug_image_limits image_limits = {.max_pixels = 1 << 22};
            struct snug_image other = {0};
            struct snug_error opened = {0};
            if (limits[i] && blob.size > 300000)
                continue; /* small steps through small files */
            if (from_file && snug_bytes_open(file, 1 << 24, heap, &bytes, &opened))
                fail_msg("%s", opened.message);
            bytes.most = limits[i];
            enum snug_status found =
                snug_image_collect(&bytes, &image_limits, heap, &other, &other_error);
            if (found != status || (!status && !same_picture(&image, &other)) ||
                (status && strcmp(error.message, other_error.message)))
                fail_msg("%s, %s, %zu bytes at a time: %s (%s), expected %s (%s)", file,
                         from_file ? "file" : "memory", limits[i], snug_status_text(found),
                         found ? other_error.message : "", snug_status_text(status),
                         status ? error.message : "");
            snug_image_free(&other);
            snug_bytes_close(&bytes);
        }
    snug_image_free(&image);
    snug_blob_free(&blob);
}

static void test_every_file(void **state)
{
    (void)state;
    static const struct {
        const char *folder;
        int64_t good; /* at least */
    } folders[] = {{GOOD, 50}, {BAD, 1}, {SEEDS, 8}};
    for (size_t f = 0; f < sizeof folders / sizeof folders[0]; f++) {
        struct snug_directory directory = {0};
        struct snug_error error = {0};
        const char *folder = test_path(folders[f].folder);
        int64_t good = 0;
        assert_ok(snug_directory_read(folder, 10000, snug_allocator_heap(), &directory, &error));
        for (size_t i = 0; i < directory.count; i++) {
            char file[2048];
            snprintf(file, sizeof file, "%s/%s", folder, directory.names[i]);
            check_file(file, &good);
        }
        if (good < folders[f].good)
            fail_msg("%s: %lld pictures, expected %lld", folder, (long long)good,
                     (long long)folders[f].good);
        snug_directory_free(&directory);
    }
}

/* Zeros before a JPEG's end mark, with the bytes coming in pieces of every size: the mark may then
 * lie across two of them. */
static void test_jpeg_filling_in_pieces(void **state)
{
    (void)state;
    const struct snug_allocator *heap = snug_allocator_heap();
    struct snug_blob blob = {0};
    struct snug_error error = {0};
    assert_ok(snug_file_read(test_path(GOOD "/gray.jpg"), 1 << 20, heap, &blob, &error));
    size_t size = blob.size + 40;
    unsigned char *copy = snug_calloc(heap, size, 1);
    assert_non_null(copy);
    memcpy(copy, blob.data, blob.size - 2);
    memcpy(copy + size - 2, "\xff\xd9", 2);
    for (int damaged = 0; damaged < 3; damaged++) {
        copy[size - 20] = damaged == 1;
        copy[size - 3] = damaged == 2;
        for (size_t most = 1; most <= 100; most++) {
            struct snug_bytes bytes = snug_bytes_of("filling", copy, size);
            struct snug_image image = {0};
            bytes.most = most;
            enum snug_status status = snug_image_collect(&bytes, NULL, heap, &image, &error);
            if (status != (damaged ? SNUG_STATUS_FORMAT : SNUG_STATUS_OK))
                fail_msg("damaged %d, %zu bytes at a time: %s", damaged, most,
                         snug_status_text(status));
            snug_image_free(&image);
        }
    }
    snug_free(heap, copy);
    snug_blob_free(&blob);
}

/* ---- the sink ---- */

struct counter {
    int64_t begun, rows, width, height;
    int64_t refuse_row; /* -1: none */
    bool refuse_begin;
};

static size_t count_bytes(const void *context, int64_t width, int64_t height)
{
    (void)context;
    (void)width;
    (void)height;
    return 0;
}

static enum snug_status count_begin(void *context, int64_t width, int64_t height,
                                    struct snug_error *error)
{
    struct counter *c = context;
    c->begun++;
    c->width = width;
    c->height = height;
    return c->refuse_begin ? snug_error_set(error, SNUG_STATUS_SHAPE, "no picture, please")
                           : SNUG_STATUS_OK;
}

static enum snug_status count_row(void *context, const unsigned char *rgb, struct snug_error *error)
{
    struct counter *c = context;
    (void)rgb;
    if (c->rows == c->refuse_row)
        return snug_error_set(error, SNUG_STATUS_SHAPE, "no more rows, please");
    c->rows++;
    return SNUG_STATUS_OK;
}

static const char *const formats[] = {
    GOOD "/rgba8.png", GOOD "/la16_adam7.png",  GOOD "/pal4_trns.png",  GOOD "/exif_6.jpg",
    GOOD "/gray.jpg",  GOOD "/progressive.jpg", GOOD "/cmyk_adobe.jpg", GOOD "/lossy_alpha.webp",
    GOOD "/rgb24.bmp", GOOD "/rgb.ppm",         GOOD "/exif6.png",
};
#define FORMATS (sizeof formats / sizeof formats[0])

/* The sink's own failures come back as they are, whatever library lies in between. */
static void test_sink_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMATS; i++) {
        struct snug_counting_allocator counting;
        struct snug_bytes bytes = {0};
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
        assert_ok(
            snug_bytes_open(test_path(formats[i]), 1 << 20, &counting.allocator, &bytes, &error));
        for (int what = 0; what < 4; what++) {
            struct counter c = {.refuse_row = what == 1   ? 0
                                              : what == 2 ? 5
                                                          : -1,
                                .refuse_begin = what == 0};
            const struct snug_row_sink sink = {count_bytes, count_begin, count_row, &c};
            enum snug_status status =
                snug_image_read(&bytes, NULL, &counting.allocator, &sink, &error);
            assert_int_equal(counting.live, 1); /* the file's window */
            assert_int_equal(c.begun, 1);
            assert_int_equal(status, what == 3 ? SNUG_STATUS_OK : SNUG_STATUS_SHAPE);
            assert_int_equal(c.rows, what == 3 ? c.height : what == 2 ? 5 : 0);
            assert_true(what == 3 || strstr(error.message, "please"));
            assert_int_equal(snug_image_read(&bytes, NULL, &counting.allocator, &sink, NULL),
                             what == 3 ? SNUG_STATUS_OK : SNUG_STATUS_SHAPE);
            if (what == 3)
                break;
        }
        snug_bytes_close(&bytes);
        assert_int_equal(counting.live, 0);
    }
}

/* A page that would cost too much is refused from its header: nothing is begun. */
static void test_max_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMATS; i++) {
        struct snug_counting_allocator counting;
        struct snug_bytes bytes = {0};
        struct snug_error error = {0};
        snug_counting_allocator_init(&counting, snug_allocator_heap(), 0);
        assert_ok(
            snug_bytes_open(test_path(formats[i]), 1 << 20, &counting.allocator, &bytes, &error));
        struct counter c = {.refuse_row = -1};
        const struct snug_row_sink sink = {count_bytes, count_begin, count_row, &c};
        struct snug_image_limits limits = {.max_bytes = SNUG_BYTES_WINDOW + 100};
        assert_int_equal(snug_image_read(&bytes, &limits, &counting.allocator, &sink, &error),
                         SNUG_STATUS_DOES_NOT_FIT);
        assert_int_equal(c.begun, 0);
        assert_int_equal(counting.live, 1);
        assert_non_null(strstr(error.message, bytes.name));
        assert_non_null(strstr(error.message, "left for it; try a larger --budget"));
        limits.max_bytes = 4 << 20;
        assert_ok(snug_image_read(&bytes, &limits, &counting.allocator, &sink, &error));
        assert_int_equal(c.rows, c.height);
        snug_bytes_close(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turning),      cmocka_unit_test(test_turning_refused),
        cmocka_unit_test(test_every_file),   cmocka_unit_test(test_jpeg_filling_in_pieces),
        cmocka_unit_test(test_sink_refuses), cmocka_unit_test(test_max_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
