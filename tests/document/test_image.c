/* Tests of document/image.c and the readers behind it (jpeg.c, png.c, webp.c, bmp.c, pnm.c). Pixels
 * of many more files: golden-check, kinds "decode" and "malformed-images". Copyright snug
 * contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "base/files.h"
#include "document/image.h"

#define GOOD "tests/golden/images/decode/in/"
#define BAD "tests/golden/images/bad/"
#define SEEDS "fuzz/corpus/image/"
#define BYTES(text) text, sizeof text - 1

static struct snug_blob load(const char *name)
{
    struct snug_blob blob = {0};
    struct snug_error error = {0};
    assert_ok(snug_file_read(test_path(name), 1 << 20, snug_allocator_heap(), &blob, &error));
    return blob;
}

/* Decodes a copy in a block of exactly its size, so that the sanitizer sees a read beyond it. A
 * failure must name the file, leave *out alone and nothing allocated. */
static enum snug_status decode(const unsigned char *data, size_t size, int64_t max_pixels,
                               struct snug_image *out, struct snug_error *error)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    static struct snug_counting_allocator counting; /* outlives the picture, which points to it */
    unsigned char *copy = snug_alloc(heap, size);
    assert_non_null(copy);
    if (size)
        memcpy(copy, data, size);
    snug_counting_allocator_init(&counting, heap, 0);
    enum snug_status status =
        snug_image_decode(copy, size, max_pixels, "page 7", &counting.allocator, out, error);
    snug_free(heap, copy);
    assert_int_equal(counting.live, status == SNUG_STATUS_OK ? 1 : 0);
    if (status != SNUG_STATUS_OK) {
        assert_null(out->pixels);
        assert_non_null(strstr(error->message, "page 7"));
    }
    return status;
}

static void expect_status(const char *what, const char *data, size_t size, int64_t max_pixels,
                          enum snug_status wanted, const char *word)
{
    struct snug_image image = {0};
    struct snug_error error = {0};
    enum snug_status found = decode((const unsigned char *)data, size, max_pixels, &image, &error);
    snug_image_free(&image);
    if (found != wanted || (word && !strstr(error.message, word)))
        print_error("%s: %s (%s), expected %s (%s)\n", what, snug_status_text(found), error.message,
                    snug_status_text(wanted), word ? word : "");
    assert_int_equal(found, wanted);
    assert_true(!word || strstr(error.message, word));
}

/* ---- what it is ---- */

static void test_sniffing(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        enum snug_image_format expected;
    } cases[] = {
        {BYTES("\xff\xd8\xff\xe0"), SNUG_IMAGE_FORMAT_JPEG},
        {BYTES("\xff\xd8"), SNUG_IMAGE_FORMAT_JPEG},
        {BYTES("\xff\xd8\x20"), SNUG_IMAGE_FORMAT_UNKNOWN},
        {BYTES("\xff"), SNUG_IMAGE_FORMAT_UNKNOWN},
        {BYTES("\x89PNG\r\n\x1a\n"), SNUG_IMAGE_FORMAT_PNG},
        {BYTES("\x89PNG"), SNUG_IMAGE_FORMAT_PNG},
        {BYTES("\x89PNG\n\n\x1a\n"), SNUG_IMAGE_FORMAT_UNKNOWN},
        {BYTES("RIFF\4\0\0\0WEBPVP8 "), SNUG_IMAGE_FORMAT_WEBP},
        {BYTES("RIFF\4\0\0\0WE"), SNUG_IMAGE_FORMAT_WEBP},
        {BYTES("RIFF\4\0\0\0WAVE"), SNUG_IMAGE_FORMAT_UNKNOWN},
        {BYTES("BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"), SNUG_IMAGE_FORMAT_BMP},
        {BYTES("BMW AG, Muenchen, invoice"), SNUG_IMAGE_FORMAT_UNKNOWN},
        {BYTES("P6\n1 1\n255\n"), SNUG_IMAGE_FORMAT_PNM},
        {BYTES("P4#"), SNUG_IMAGE_FORMAT_PNM},
        {BYTES("P7\n"), SNUG_IMAGE_FORMAT_UNKNOWN},
        {BYTES("P5X"), SNUG_IMAGE_FORMAT_UNKNOWN},
        {BYTES("II*\0"), SNUG_IMAGE_FORMAT_TIFF},
        {BYTES("MM\0*"), SNUG_IMAGE_FORMAT_TIFF},
        {BYTES("II+\0"), SNUG_IMAGE_FORMAT_TIFF},
        {BYTES("%PDF-1.7"), SNUG_IMAGE_FORMAT_PDF},
        {BYTES("\n\n%PDF-1.7"), SNUG_IMAGE_FORMAT_PDF},
        {BYTES("<html>"), SNUG_IMAGE_FORMAT_UNKNOWN},
        {BYTES(""), SNUG_IMAGE_FORMAT_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum snug_image_format found =
            snug_image_sniff((const unsigned char *)cases[i].data, cases[i].size);
        if (found != cases[i].expected)
            print_error("case %zu: %s, expected %s\n", i, snug_image_format_name(found),
                        snug_image_format_name(cases[i].expected));
        assert_int_equal(found, cases[i].expected);
    }
}

static void test_unsupported(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        const char *word;
    } cases[] = {
        {BYTES("II*\0\x08\0\0\0"), "TIFF"},
        {BYTES("%PDF-1.4\n"), "PDF"},
        {BYTES("GIF89a"), "GIF"},
        {BYTES("PK\3\4"), "ZIP"},
        {BYTES("\0\0\0\x18"
               "ftypheic"),
         "HEIC"},
        {BYTES("\0\0\0\x18"
               "ftypavif"),
         "AVIF"},
        {BYTES("<?xml version='1.0'?><svg/>"), "SVG"},
        {BYTES("Dear Sir or Madam,\r\n"), "text"},
        {BYTES("\1\2\3"), "unknown"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_status(cases[i].word, cases[i].data, cases[i].size, 0, SNUG_STATUS_UNSUPPORTED,
                      cases[i].word);
    expect_status("empty", "", 0, 0, SNUG_STATUS_FORMAT, "empty");
}

/* ---- pixels known by hand ---- */

static void test_pixels(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t width, height;
        unsigned char rgb[30];
    } cases[] = {
        /* bottom row first; colour i is RGB (i, 255 - i * 16, i * 16) */
        {SEEDS "four_bits.bmp", 5, 2, {15, 15,  240, 14, 31,  224, 13,  47, 208, 12,
                                       63, 192, 11,  79, 176, 1,   239, 16, 2,   223,
                                       32, 3,   207, 48, 4,   191, 64,  5,  175, 80}},
        /* top row first; red in byte 0 */
        {SEEDS "masks.bmp",
         3,
         2,
         {0, 1, 2, 4, 5, 6, 8, 9, 10, 100, 101, 102, 104, 105, 106, 108, 109, 110}},
        {SEEDS "alpha.bmp", 2, 1, {255, 255, 255, 157, 152, 147}},
        {SEEDS "os2.bmp", 4, 1, {2, 1, 0, 14, 13, 12, 8, 7, 6, 5, 4, 3}},
        {SEEDS "plain.pbm", 5, 2, {0, 0,   0,   255, 255, 255, 0,   0,   0, 0,
                                   0, 0,   255, 255, 255, 255, 255, 255, 0, 0,
                                   0, 255, 255, 255, 255, 255, 255, 0,   0, 0}},
        {SEEDS "plain.ppm", 2, 1, {0, 119, 255, 51, 34, 17}},
        {SEEDS "gray12.pgm", 2, 1, {255, 255, 255, 128, 128, 128}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct snug_blob blob = load(cases[i].name);
        struct snug_image image = {0};
        struct snug_error error = {0};
        assert_ok(decode(blob.data, blob.size, 0, &image, &error));
        assert_int_equal(image.width, cases[i].width);
        assert_int_equal(image.height, cases[i].height);
        for (int64_t k = 0; k < image.width * image.height * 3; k++) {
            if (image.pixels[k] != cases[i].rgb[k])
                print_error("%s, sample %lld: %d, expected %d\n", cases[i].name, (long long)k,
                            image.pixels[k], cases[i].rgb[k]);
            assert_int_equal(image.pixels[k], cases[i].rgb[k]);
        }
        snug_image_free(&image);
        assert_null(image.pixels);
        snug_blob_free(&blob);
    }
}

/* ---- damage ---- */

#define BMP40(width, height, bits, compression, colours)                                           \
    "BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0" width height "\1\0" bits compression "\0\0\0"         \
    "\0\0\0\0\0\0\0\0\0\0\0\0" colours "\0\0\0\0"

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *what, *data;
        size_t size;
        enum snug_status expected;
    } cases[] = {
        {"PNM: no sizes", BYTES("P6\n"), SNUG_STATUS_FORMAT},
        {"PNM: letters", BYTES("P6 a b 255 xyz"), SNUG_STATUS_FORMAT},
        {"PNM: endless comment", BYTES("P6 #1 1 255\fabc"), SNUG_STATUS_FORMAT},
        {"PNM: width 0", BYTES("P5 0 1 255\n"), SNUG_STATUS_FORMAT},
        {"PNM: maxval 0", BYTES("P5 1 1 0\nx"), SNUG_STATUS_FORMAT},
        {"PNM: maxval 65536", BYTES("P5 1 1 65536\nxx"), SNUG_STATUS_FORMAT},
        {"PNM: nothing after maxval", BYTES("P5 1 1 255"), SNUG_STATUS_FORMAT},
        {"PNM: letter after maxval", BYTES("P5 1 1 255x"), SNUG_STATUS_FORMAT},
        {"PNM: one byte short", BYTES("P6 1 1 255\nab"), SNUG_STATUS_FORMAT},
        {"PNM: one byte of 16 bits", BYTES("P5 1 1 300\na"), SNUG_STATUS_FORMAT},
        {"PNM: beyond maxval", BYTES("P5 1 1 100\n\x65"), SNUG_STATUS_FORMAT},
        {"PNM: text beyond maxval", BYTES("P2 2 1 100\n100 101"), SNUG_STATUS_FORMAT},
        {"PNM: text short", BYTES("P2 2 1 100\n100     "), SNUG_STATUS_FORMAT},
        {"PNM: minus", BYTES("P2 1 1 100\n-1"), SNUG_STATUS_FORMAT},
        {"PNM: bit 2", BYTES("P1 2 1\n1 2"), SNUG_STATUS_FORMAT},
        {"PNM: side", BYTES("P5 65501 1 255\n"), SNUG_STATUS_LIMIT},
        {"PNM: 30000 x 30000", BYTES("P5 30000 30000 255\n"), SNUG_STATUS_LIMIT},
        {"PNM: 10000 x 10000 and no pixels", BYTES("P5 10000 10000 255\n"), SNUG_STATUS_FORMAT},
        {"BMP: header cut", BYTES("BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"), SNUG_STATUS_FORMAT},
        {"BMP: width 0", BYTES(BMP40("\0\0\0\0", "\1\0\0\0", "\x18\0", "\0", "\0\0\0\0") "abcd"),
         SNUG_STATUS_FORMAT},
        {"BMP: width -1",
         BYTES(BMP40("\xff\xff\xff\xff", "\1\0\0\0", "\x18\0", "\0", "\0\0\0\0") "abcd"),
         SNUG_STATUS_FORMAT},
        {"BMP: 3 bits", BYTES(BMP40("\1\0\0\0", "\1\0\0\0", "\3\0", "\0", "\0\0\0\0") "abcd"),
         SNUG_STATUS_FORMAT},
        {"BMP: 16 bits", BYTES(BMP40("\1\0\0\0", "\1\0\0\0", "\x10\0", "\0", "\0\0\0\0") "abcd"),
         SNUG_STATUS_UNSUPPORTED},
        {"BMP: embedded JPEG",
         BYTES(BMP40("\1\0\0\0", "\1\0\0\0", "\x18\0", "\4", "\0\0\0\0") "abcd"),
         SNUG_STATUS_UNSUPPORTED},
        {"BMP: a pixel", BYTES(BMP40("\1\0\0\0", "\1\0\0\0", "\x18\0", "\0", "\0\0\0\0") "abcd"),
         SNUG_STATUS_OK},
        {"BMP: no palette",
         BYTES(BMP40("\1\0\0\0", "\1\0\0\0", "\x08\0", "\0", "\0\0\0\0") "\0bcd"),
         SNUG_STATUS_FORMAT},
        {"BMP: pixels cut",
         BYTES(BMP40("\2\0\0\0", "\1\0\0\0", "\x18\0", "\0", "\0\0\0\0") "abcde"),
         SNUG_STATUS_FORMAT},
        {"BMP: only the filling cut",
         BYTES(BMP40("\2\0\0\0", "\1\0\0\0", "\x18\0", "\0", "\0\0\0\0") "abcdef"), SNUG_STATUS_OK},
        {"BMP: 2^31 rows",
         BYTES(BMP40("\1\0\0\0", "\0\0\0\x80", "\x18\0", "\0", "\0\0\0\0") "abcd"),
         SNUG_STATUS_LIMIT},
        {"BMP: 30000 x 30000",
         BYTES(BMP40("\x30\x75\0\0", "\x30\x75\0\0", "\x18\0", "\0", "\0\0\0\0") "abcd"),
         SNUG_STATUS_LIMIT},
        {"BMP: a colour too many",
         BYTES("BM\0\0\0\0\0\0\0\0\x20\0\0\0\x0c\0\0\0\1\0\1\0\1\0\x08\0"
               "abcdef"
               "\2\0\0\0"),
         SNUG_STATUS_FORMAT},
        {"BMP: the last colour",
         BYTES("BM\0\0\0\0\0\0\0\0\x20\0\0\0\x0c\0\0\0\1\0\1\0\1\0\x08\0"
               "abcdef"
               "\1\0\0\0"),
         SNUG_STATUS_OK},
        {"JPEG: marks only", BYTES("\xff\xd8\xff\xd9"), SNUG_STATUS_FORMAT},
        {"JPEG: fill bytes to the end", BYTES("\xff\xd8\xff\xff\xff\xff"), SNUG_STATUS_FORMAT},
        {"PNG: mark only", BYTES("\x89PNG\r\n\x1a\n"), SNUG_STATUS_FORMAT},
        {"WebP: frame missing", BYTES("RIFF\4\0\0\0WEBP"), SNUG_STATUS_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_status(cases[i].what, cases[i].data, cases[i].size, 0, cases[i].expected, NULL);

    static const char far_pixels[] = BMP40("\2\0\0\0", "\2\0\0\0", "\1\0", "\0", "\0\0\0\0");
    char far_copy[sizeof far_pixels - 1];
    memcpy(far_copy, far_pixels, sizeof far_copy);
    far_copy[11] = 1; /* a palette beyond the file, and more pixels than wanted */
    expect_status("BMP: far pixels", far_copy, sizeof far_copy, 3, SNUG_STATUS_LIMIT, NULL);
    expect_status("BMP: far pixels", far_copy, sizeof far_copy, 4, SNUG_STATUS_FORMAT, NULL);

    struct snug_blob blob = load(SEEDS "run_lengths.bmp");
    expect_status("run lengths", (const char *)blob.data, blob.size, 0, SNUG_STATUS_UNSUPPORTED,
                  "BMP");
    snug_blob_free(&blob);
}

/* No file that was cut is a page. BMP excepted: the last row's filling may be missing. */
static void test_every_cut(void **state)
{
    (void)state;
    static const char *const names[] = {
        GOOD "rgba8.png",        GOOD "la16_adam7.png",  GOOD "pal4_trns.png",
        GOOD "exif_6.jpg",       GOOD "progressive.jpg", GOOD "cmyk_adobe.jpg",
        GOOD "lossy_alpha.webp", GOOD "anim.webp",       GOOD "lossless.webp",
        SEEDS "three_scans.jpg", SEEDS "plain.pbm",      SEEDS "gray12.pgm",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct snug_blob blob = load(names[i]);
        for (size_t size = 0; size < blob.size; size++) {
            struct snug_image image = {0};
            struct snug_error error = {0};
            enum snug_status status = decode(blob.data, size, 0, &image, &error);
            if (status != SNUG_STATUS_FORMAT && status != SNUG_STATUS_UNSUPPORTED)
                print_error("%s cut to %zu of %zu bytes: %s\n", names[i], size, blob.size,
                            snug_status_text(status));
            assert_true(status == SNUG_STATUS_FORMAT || status == SNUG_STATUS_UNSUPPORTED);
            assert_true(size < 4 || status == SNUG_STATUS_FORMAT);
        }
        expect_status(names[i], (const char *)blob.data, blob.size, 0, SNUG_STATUS_OK, NULL);
        snug_blob_free(&blob);
    }
}

/* Every byte of a PNG counts: each one turned over is noticed. */
static void test_every_byte_of_a_png(void **state)
{
    (void)state;
    struct snug_blob blob = load(GOOD "pal4_trns.png");
    unsigned char *copy = snug_alloc(snug_allocator_heap(), blob.size);
    assert_non_null(copy);
    for (size_t i = 0; i < blob.size; i++) {
        struct snug_image image = {0};
        struct snug_error error = {0};
        memcpy(copy, blob.data, blob.size);
        copy[i] ^= 0x40;
        enum snug_status status = decode(copy, blob.size, 0, &image, &error);
        if (status == SNUG_STATUS_OK)
            print_error("byte %zu changed, and it still decodes\n", i);
        assert_int_not_equal(status, SNUG_STATUS_OK);
    }
    snug_free(snug_allocator_heap(), copy);
    snug_blob_free(&blob);
}

/* ---- limits ---- */

static void test_pixel_limits(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t pixels;
    } cases[] = {
        {GOOD "rgba8.png", 14 * 18}, {GOOD "exif_6.jpg", 24 * 16}, {GOOD "lossless.webp", 41 * 27},
        {GOOD "rgb24.bmp", 43 * 31}, {GOOD "rgb.ppm", 43 * 31},    {GOOD "anim.webp", 22 * 18},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct snug_blob blob = load(cases[i].name);
        const char *data = (const char *)blob.data;
        expect_status(cases[i].name, data, blob.size, cases[i].pixels, SNUG_STATUS_OK, NULL);
        expect_status(cases[i].name, data, blob.size, cases[i].pixels - 1, SNUG_STATUS_LIMIT,
                      "limit");
        snug_blob_free(&blob);
    }
}

/* An allocator that refuses what no small picture needs: bombs must not even ask. */
static void *refuse_large(void *context, size_t bytes)
{
    bool *asked = context;
    *asked = *asked || bytes > (1 << 20);
    return bytes > (1 << 20) ? NULL : snug_alloc(snug_allocator_heap(), bytes);
}

static void *resize_heap(void *context, void *memory, size_t bytes)
{
    (void)context;
    return snug_realloc_array(snug_allocator_heap(), memory, bytes, 1);
}

static void release_heap(void *context, void *memory)
{
    (void)context;
    snug_free(snug_allocator_heap(), memory);
}

static void test_bombs(void **state)
{
    (void)state;
    static const char *const names[] = {
        BAD "png_bomb.png",      BAD "png_60000.png",  BAD "png_2e31.png",
        BAD "png_ztxt_bomb.png", BAD "jpeg_60000.jpg", BAD "jpeg_prog_60000.jpg",
        BAD "bmp_60000.bmp",     BAD "ppm_huge.ppm",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        bool asked = false;
        const struct snug_allocator small = {refuse_large, resize_heap, release_heap, &asked};
        struct snug_blob blob = load(names[i]);
        struct snug_image image = {0};
        struct snug_error error = {0};
        enum snug_status status =
            snug_image_decode(blob.data, blob.size, 0, "bomb", &small, &image, &error);
        enum snug_status wanted = strstr(names[i], "ztxt") ? SNUG_STATUS_OK : SNUG_STATUS_LIMIT;
        if (status != wanted || asked)
            print_error("%s: %s, much memory asked for: %d\n", names[i], snug_status_text(status),
                        asked);
        assert_int_equal(status, wanted);
        assert_false(asked);
        snug_image_free(&image);
        snug_blob_free(&blob);
    }
}

/* The last scan over and over: little to store, much to do. */
static void test_scan_bomb(void **state)
{
    (void)state;
    struct snug_blob blob = load(SEEDS "three_scans.jpg");
    size_t scan = blob.size;
    while (memcmp(blob.data + --scan, "\xff\xda", 2) != 0)
        assert_true(scan > 2);
    size_t scan_bytes = blob.size - 2 - scan, size = blob.size + 200 * scan_bytes;
    unsigned char *bomb = snug_alloc(snug_allocator_heap(), size);
    assert_non_null(bomb);
    memcpy(bomb, blob.data, scan);
    for (size_t i = 0; i <= 200; i++)
        memcpy(bomb + scan + i * scan_bytes, blob.data + scan, scan_bytes);
    memcpy(bomb + size - 2, "\xff\xd9", 2);
    expect_status("200 scans", (const char *)bomb, size, 0, SNUG_STATUS_LIMIT, "scans");
    snug_free(snug_allocator_heap(), bomb);
    snug_blob_free(&blob);
}

/* Zeros before the end mark are filling; other bytes are what a damaged scan left over. */
static void test_jpeg_filling(void **state)
{
    (void)state;
    struct snug_blob blob = load(GOOD "gray.jpg");
    unsigned char *copy = snug_calloc(snug_allocator_heap(), blob.size + 40, 1);
    assert_non_null(copy);
    memcpy(copy, blob.data, blob.size - 2);
    memcpy(copy + blob.size + 38, "\xff\xd9", 2);
    expect_status("zeros", (const char *)copy, blob.size + 40, 0, SNUG_STATUS_OK, NULL);
    copy[blob.size + 20] = 1;
    expect_status("other bytes", (const char *)copy, blob.size + 40, 0, SNUG_STATUS_FORMAT, "JPEG");
    snug_free(snug_allocator_heap(), copy);
    snug_blob_free(&blob);
}

/* ---- memory ---- */

static void test_refused_memory(void **state)
{
    (void)state;
    static const char *const names[] = {
        GOOD "exif6.png",  GOOD "rgba8.png",        GOOD "pal4_trns.png", GOOD "cmyk_adobe.jpg",
        GOOD "exif_6.jpg", GOOD "lossy_alpha.webp", GOOD "rgb24.bmp",     GOOD "rgb.ppm",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct snug_blob blob = load(names[i]);
        for (uint64_t n = 1;; n++) {
            struct snug_counting_allocator counting;
            struct snug_image image = {0};
            struct snug_error error = {0};
            snug_counting_allocator_init(&counting, snug_allocator_heap(), n);
            enum snug_status status = snug_image_decode(blob.data, blob.size, 0, names[i],
                                                        &counting.allocator, &image, &error);
            enum snug_status wanted = counting.failed ? SNUG_STATUS_MEMORY : SNUG_STATUS_OK;
            if (status != wanted)
                print_error("%s, request %llu: %s (%s), expected %s\n", names[i],
                            (unsigned long long)n, snug_status_text(status), error.message,
                            snug_status_text(wanted));
            assert_int_equal(status, wanted);
            snug_image_free(&image);
            assert_int_equal(counting.live, 0);
            if (!counting.failed) {
                assert_true(n > (strstr(names[i], ".png") ? 6 : 1));
                break;
            }
        }
        snug_blob_free(&blob);
    }
}

/* The caller may do without the detail. */
static void test_no_error_wanted(void **state)
{
    (void)state;
    static const char *const names[] = {BAD "png_bomb.png",       BAD "jpeg_60000.jpg",
                                        BAD "jpeg_cut_scan.jpg",  BAD "png_crc_idat.png",
                                        BAD "webp_cut_half.webp", BAD "heic.heic"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct snug_blob blob = load(names[i]);
        struct snug_image image = {0};
        assert_int_not_equal(snug_image_decode(blob.data, blob.size, 0, names[i],
                                               snug_allocator_heap(), &image, NULL),
                             SNUG_STATUS_OK);
        snug_blob_free(&blob);
    }
    struct snug_image zeroed = {0};
    snug_image_free(&zeroed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sniffing),       cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_pixels),         cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_every_cut),      cmocka_unit_test(test_every_byte_of_a_png),
        cmocka_unit_test(test_pixel_limits),   cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_scan_bomb),      cmocka_unit_test(test_jpeg_filling),
        cmocka_unit_test(test_refused_memory), cmocka_unit_test(test_no_error_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
