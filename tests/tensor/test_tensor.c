/* Tests of tensor/tensor.c.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t seed = 1;

static uint32_t random_bits(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 32);
}

static void test_dtypes(void **state)
{
    (void)state;
    for (int i = 0; i < SNUG_DTYPE_COUNT; i++) {
        enum snug_dtype back = SNUG_DTYPE_COUNT;
        assert_true(snug_dtype_parse(snug_dtype_name((enum snug_dtype)i), &back));
        assert_int_equal(back, i);
    }
    static const struct {
        const char *name;
        enum snug_dtype dtype;
        int bits;
    } cases[] = {{"BF16", SNUG_DTYPE_BF16, 16}, {"F32", SNUG_DTYPE_F32, 32},
                 {"BOOL", SNUG_DTYPE_BOOL, 8},  {"F8_E4M3", SNUG_DTYPE_F8_E4M3, 8},
                 {"I64", SNUG_DTYPE_I64, 64},   {"F4", SNUG_DTYPE_F4, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum snug_dtype dtype = SNUG_DTYPE_COUNT;
        assert_true(snug_dtype_parse(cases[i].name, &dtype));
        assert_int_equal(dtype, cases[i].dtype);
        assert_int_equal(snug_dtype_bits(dtype), cases[i].bits);
        if (cases[i].bits % 8 == 0)
            assert_int_equal(snug_dtype_size(dtype), cases[i].bits / 8);
    }
    enum snug_dtype kept = SNUG_DTYPE_I8;
    static const char *const unknown[] = {"", "f32", "F3", "F322", "bf16", "OK"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_false(snug_dtype_parse(unknown[i], &kept));
    assert_int_equal(kept, SNUG_DTYPE_I8);
}

static void test_shapes(void **state)
{
    (void)state;
    static const struct {
        struct snug_shape shape;
        int64_t elements; /* -1: refused */
        const char *text;
    } cases[] = {
        {{0, {0}}, 1, "[]"},
        {{1, {7}}, 7, "[7]"},
        {{3, {2, 17, 64}}, 2176, "[2, 17, 64]"},
        {{2, {0, 5}}, 0, "[0, 5]"},
        {{2, {3, -1}}, -1, "[3, -1]"},
        {{2, {INT64_MAX, 2}}, -1, "[9223372036854775807, 2]"},
        {{2, {INT64_MAX, 1}}, INT64_MAX, "[9223372036854775807, 1]"},
        {{4, {1 << 16, 1 << 16, 1 << 16, 1 << 16}}, -1, "[65536, 65536, 65536, 65536]"},
        {{9, {1}}, -1, NULL},
        {{-1, {1}}, -1, "[]"},
        {{8,
          {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}},
         -1,
         "[9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807, "
         "9223372036854775807...]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t elements = -1;
        char text[128];
        bool ok = snug_shape_elements(&cases[i].shape, &elements);
        if (ok != (cases[i].elements >= 0) || elements != cases[i].elements)
            fail_msg("case %zu: %d, %lld", i, ok, (long long)elements);
        if (cases[i].text)
            assert_string_equal(snug_shape_format(&cases[i].shape, text), cases[i].text);
    }
}

/* ---- 16-bit floats ---- */

/* The value of an f16 by its definition, in f64. */
static double f16_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double sign = bits & 0x8000 ? -1 : 1;

    return exponent ? sign * ldexp(1024 + fraction, exponent - 25) : sign * ldexp(fraction, -24);
}

static bool f16_is_nan(uint16_t bits)
{
    return (bits & 0x7fff) > 0x7c00;
}

static void test_f16_widen(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t bits = (uint16_t)i;
        float value = snug_f16_to_f32(bits), wide;

        snug_widen(SNUG_DTYPE_F16, &bits, 1, &wide);
        if (bits_of(wide) != bits_of(value))
            fail_msg("%04x: %08x alone, %08x in an array", i, bits_of(value), bits_of(wide));
        if (f16_is_nan(bits)) {
            /* sign and payload kept, quiet bit set */
            assert_int_equal(bits_of(value), (i & 0x8000) << 16 | 0x7fc00000u | (i & 0x3ff) << 13);
            assert_int_equal(snug_f32_to_f16(value), i | 0x0200);
            continue;
        }
        if ((bits & 0x7fff) == 0x7c00)
            assert_true(isinf(value) && (signbit(value) != 0) == (bits >> 15 != 0));
        else if ((double)value != f16_value(bits) || (signbit(value) != 0) != (bits >> 15 != 0))
            fail_msg("%04x: %a, expected %a", i, (double)value, f16_value(bits));
        if (snug_f32_to_f16(value) != bits)
            fail_msg("%04x -> %a -> %04x", i, (double)value, snug_f32_to_f16(value));
    }
}

/* Nearest even by its definition: of the two neighbours the nearer, on a tie the even one. */
static uint16_t f16_expected(float value)
{
    double magnitude = fabs((double)value);
    uint16_t sign = signbit(value) ? 0x8000 : 0, low = 0, high = 0x7c00;

    if (magnitude >= 65520) /* half-way between the largest, 65504, and 2^16 */
        return sign | 0x7c00;
    if (magnitude >= 65504)
        return sign | 0x7bff;
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        if (f16_value(middle) <= magnitude)
            low = middle;
        else
            high = middle;
    }
    double below = magnitude - f16_value(low), above = f16_value(high) - magnitude;
    return sign | (below < above || (below == above && !(low & 1)) ? low : high);
}

static void check_narrow(float value)
{
    uint16_t got = snug_f32_to_f16(value), expected = f16_expected(value);

    if (got != expected)
        fail_msg("%a (%08x): %04x, expected %04x", (double)value, bits_of(value), got, expected);
}

static void test_f16_narrow(void **state)
{
    (void)state;
    /* every half-way point between neighbours, and its own neighbours in f32 */
    for (uint32_t i = 0; i < 0x7bff; i++) {
        double middle = (f16_value((uint16_t)i) + f16_value((uint16_t)(i + 1))) / 2;
        uint32_t bits = bits_of((float)middle);

        assert_true((double)(float)middle == middle);
        for (uint32_t sign = 0; sign < 2; sign++)
            for (uint32_t near = bits - 1; near != bits + 2; near++)
                check_narrow(float_of(near | sign << 31));
    }
    static const float edges[] = {
        0.0f,     -0.0f,    0x1p-149f, 0x1p-126f, 0x1p-25f,     0x1.000002p-25f,
        0x1p-24f, 65503.0f, 65504.0f,  65519.0f,  65519.996f,   65520.0f,
        65536.0f, 0x1p127f, INFINITY,  -INFINITY, 0x1.ffcp-15f, 0x1.ffep-15f};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        check_narrow(edges[i]);
    for (int i = 0; i < 300000; i++) {
        float value = float_of(random_bits());
        if (!isnan(value))
            check_narrow(value);
    }
    /* NaNs of every kind stay NaN, also where only low payload bits are set */
    static const uint32_t nans[] = {0x7f800001u, 0x7fc00000u, 0xff800001u, 0xffffffffu,
                                    0x7f801000u};
    for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) {
        uint16_t narrow = snug_f32_to_f16(float_of(nans[i]));
        if (!f16_is_nan(narrow) || !(narrow & 0x200) || narrow >> 15 != nans[i] >> 31)
            fail_msg("NaN %08x became %04x", nans[i], narrow);
    }
}

static void test_widen(void **state)
{
    (void)state;
    enum { COUNT = 67 };
    unsigned char memory[COUNT * 4 + 8];
    float out[COUNT + 1];

    for (size_t i = 0; i < sizeof memory; i++)
        memory[i] = (unsigned char)random_bits();
    static const enum snug_dtype dtypes[] = {SNUG_DTYPE_F32, SNUG_DTYPE_F16, SNUG_DTYPE_BF16};
    for (size_t d = 0; d < 3; d++) {
        size_t size = snug_dtype_size(dtypes[d]);
        for (size_t offset = 0; offset < 4; offset++) {
            for (int64_t n = 0; n <= COUNT; n++) {
                out[n] = 42;
                snug_widen(dtypes[d], memory + offset, n, out);
                assert_int_equal(bits_of(out[n]), bits_of(42)); /* not beyond the end */
                for (int64_t i = 0; i < n; i++) {
                    uint16_t half = 0;
                    uint32_t whole = 0;
                    memcpy(size == 2 ? (void *)&half : (void *)&whole,
                           memory + offset + (size_t)i * size, size);
                    uint32_t expected = dtypes[d] == SNUG_DTYPE_F32 ? whole
                                        : dtypes[d] == SNUG_DTYPE_F16
                                            ? bits_of(snug_f16_to_f32(half))
                                            : (uint32_t)half << 16;
                    assert_int_equal(bits_of(out[i]), expected);
                }
            }
        }
    }
}

/* ---- panels ---- */

static void check_pack(enum snug_dtype dtype, int64_t n, int64_t k)
{
    const struct snug_allocator *heap = snug_allocator_heap();
    size_t size = snug_dtype_size(dtype), source_bytes = (size_t)(n * k) * size;
    size_t out_bytes = (size_t)snug_panel_elements(n, k) * size;
    unsigned char *source = snug_alloc(heap, source_bytes + 1); /* packed from an odd address */
    unsigned char *out = snug_alloc(heap, out_bytes + 16),
                  *parts = snug_alloc(heap, out_bytes + 16);
    int64_t panels = snug_panel_count(n);

    for (size_t i = 0; i < source_bytes + 1; i++)
        source[i] = (unsigned char)(random_bits() | 1); /* no zeros, to tell padding */
    memset(out, 0xee, out_bytes + 16);
    memset(parts, 0xee, out_bytes + 16);
    snug_panel_pack(dtype, source + 1, n, k, 0, panels, out);
    for (int64_t row = 0; row < panels * SNUG_PANEL; row++) {
        for (int64_t column = 0; column < k; column++) {
            static const unsigned char zeros[4];
            const unsigned char *at = out + (size_t)snug_panel_index(row, column, k) * size;
            const unsigned char *from = source + 1 + (size_t)(row * k + column) * size;
            if (memcmp(at, row < n ? from : zeros, size) != 0)
                fail_msg("%s [%lld, %lld]: element (%lld, %lld) is wrong", snug_dtype_name(dtype),
                         (long long)n, (long long)k, (long long)row, (long long)column);
        }
    }
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(out[out_bytes + i], 0xee);
    /* one panel at a time, in any order, into the same place: nothing outside it is touched */
    for (int64_t panel = panels - 1; panel >= 0; panel--) {
        snug_panel_pack(dtype, source + 1, n, k, panel, panel + 1, parts);
        for (size_t i = 0; i < (size_t)(panel * k * SNUG_PANEL) * size; i++)
            assert_int_equal(parts[i], 0xee);
    }
    assert_memory_equal(parts, out, out_bytes + 16);
    snug_free(heap, source);
    snug_free(heap, out);
    snug_free(heap, parts);
}

static void test_panels(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 1},  {15, 3}, {16, 1},  {16, 8}, {17, 5},
                                       {33, 2}, {48, 7}, {50, 64}, {0, 4},  {5, 0}};
    static const enum snug_dtype dtypes[] = {SNUG_DTYPE_F32, SNUG_DTYPE_F16, SNUG_DTYPE_BF16};

    for (size_t d = 0; d < 3; d++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            check_pack(dtypes[d], sizes[i][0], sizes[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dtypes),    cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_f16_widen), cmocka_unit_test(test_f16_narrow),
        cmocka_unit_test(test_widen),     cmocka_unit_test(test_panels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
