/* A run's history and its picture: what merging keeps, how large it gets, and that names cannot
 * break out. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"
#include "../xml.h"

#include "generate/ladder_svg.h"

#define GIB ((uint64_t)1 << 30)

static struct snug_ladder_memory memory_of(uint64_t free_bytes)
{
    return (struct snug_ladder_memory){true, free_bytes, GIB, 15 * GIB - free_bytes};
}

static void open_history(struct snug_history *history)
{
    struct snug_error error;
    assert_ok(snug_history_init(history, snug_allocator_heap(), &error));
}

/* Draws it: well-formed, and within a size. */
static void draw(const struct snug_history *history, const char *title, struct snug_text *text)
{
    struct snug_error error;
    snug_text_init(text, snug_allocator_heap(), (size_t)2 << 20);
    assert_ok(snug_ladder_svg(history, title, text, &error));
    if (!xml_well_formed(snug_text_c(text)))
        fail_msg("%s: not well-formed: %.4000s", title, snug_text_c(text));
}

static int count_of(const struct snug_text *text, const char *what)
{
    int count = 0;
    for (const char *at = snug_text_c(text); (at = strstr(at, what)); at++)
        count++;
    return count;
}

/* However many documents, every one is in exactly one moment, and the extremes are there. */
static void test_merging(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1, 2, 1999, 2000, 2001, 4000, 4001, 10007, 100000};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        struct snug_history h;
        int64_t n = lengths[l], dip = n / 3 + 1, peak = 2 * n / 3 + 1, next = 1;
        bool dip_kept = false, peak_kept = n < 3, cpu_kept = false, lost_kept = false;
        open_history(&h);
        for (int64_t i = 1; i <= n; i++) {
            struct snug_ladder_memory m = memory_of(i == dip    ? 7
                                                    : i == peak ? 15 * GIB
                                                                : 8 * GIB + (uint64_t)(i % 5));
            m.known = i != n;
            snug_history_add(&h, "a.png", i == dip ? SNUG_RUNG_CPU : SNUG_RUNG_RESIDENT, &m);
        }
        for (int i = 0; i < h.count; i++) {
            const struct snug_history_moment *m = &h.moments[i];
            assert_int_equal(m->first, next);
            if (m->count != h.span && i + 1 < h.count)
                fail_msg("%lld documents: moment %d has %lld", (long long)n, i,
                         (long long)m->count);
            next += m->count;
            dip_kept = dip_kept || m->lowest.memory.free_bytes == 7 || n == 1;
            peak_kept = peak_kept || m->highest.document == peak;
            cpu_kept = cpu_kept || m->rung == SNUG_RUNG_CPU;
            lost_kept = lost_kept || !m->lowest.memory.known;
        }
        if (next != n + 1 || h.documents != n || h.count > SNUG_HISTORY_MOMENTS)
            fail_msg("%lld documents: %lld in %d moments", (long long)n, (long long)next - 1,
                     h.count);
        if (!dip_kept || !peak_kept || !cpu_kept || !lost_kept)
            fail_msg("%lld documents: dip %d, peak %d, cpu %d, lost %d", (long long)n, dip_kept,
                     peak_kept, cpu_kept, lost_kept);
        snug_history_free(&h);
    }
}

/* The worst: every document another rung and another level, every one with an event. */
static void test_size(void **state)
{
    (void)state;
    struct snug_history h;
    struct snug_text text;
    open_history(&h);
    for (int64_t i = 1; i <= 7999; i++) {
        const struct snug_ladder_memory m = memory_of((uint64_t)(i % 14) * GIB + (uint64_t)i);
        const struct snug_event event = {.kind = i % 2 ? SNUG_EVENT_KIND_DOWN : SNUG_EVENT_KIND_UP,
                                         .document = "a long/name/of/a/document.png",
                                         .token = i % 3,
                                         .from = SNUG_RUNG_RESIDENT,
                                         .to = SNUG_RUNG_CPU,
                                         .why = "others need memory of the device"};
        snug_history_mark(&h, i, &event);
        snug_history_add(&h, "a long/name/of/a/document.png", (i - 1) / 4 % 2 * 7, &m);
    }
    draw(&h, "the worst", &text);
    int elements = count_of(&text, "<rect") + count_of(&text, "<path") + count_of(&text, "<line") +
                   count_of(&text, "<text");
    if (elements > 5000 || elements < 4000)
        fail_msg("%d elements", elements);
    assert_int_equal(h.marks_left_out, 7999 - SNUG_HISTORY_MARKS);
    assert_non_null(strstr(snug_text_c(&text), "4 documents are drawn together"));
    assert_non_null(strstr(snug_text_c(&text), "7499 more events"));
    snug_text_free(&text);
    snug_history_free(&h);
}

/* No documents; a device that never answered; names and reasons that mean to be markup. */
static void test_odd_runs(void **state)
{
    (void)state;
    static const char evil[] = "</title><script>&\"'\x01\xff\xc3\xbc.png";
    struct snug_history h;
    struct snug_text text;
    open_history(&h);
    draw(&h, "empty", &text);
    snug_text_free(&text);
    for (int i = 0; i < 3; i++)
        snug_history_add(&h, evil, SNUG_RUNG_CPU, &(struct snug_ladder_memory){.known = false});
    snug_history_mark(
        &h, 2, &(struct snug_event){.kind = SNUG_EVENT_KIND_RETRY, .document = evil, .why = evil});
    snug_history_mark(&h, 2, &(struct snug_event){.kind = SNUG_EVENT_KIND_GIVE});
    assert_int_equal(h.mark_count, 1);
    draw(&h, evil, &text);
    assert_null(strstr(snug_text_c(&text), "<script"));
    assert_int_equal(count_of(&text, "lost: no answer"), 1);
    assert_int_equal(count_of(&text, "document 2, "), 2); /* the moment, and its mark */
    snug_text_free(&text);
    snug_history_free(&h);
    snug_history_free(&h);
}

/* Levels of one document are where they should be: 16 GiB, of which 4 are ours and 8 others'. */
static void test_levels(void **state)
{
    (void)state;
    struct snug_history h;
    struct snug_text text;
    const struct snug_ladder_memory m = {true, 4 * GIB, 4 * GIB, 8 * GIB};
    open_history(&h);
    snug_history_add(&h, "a.png", SNUG_RUNG_RESIDENT, &m);
    draw(&h, "levels", &text);
    /* The plot is 296 pixels high, 360 at its foot, 8 % of it above the capacity. */
    static const struct {
        char class;
        double share;
    } layers[] = {{'f', 1}, {'o', 0.75}, {'s', 0.25}};
    for (size_t i = 0; i < 3; i++) {
        char want[80];
        snprintf(want, sizeof want, "<path class=\"%c\" d=\"M72.00 360.00L72.00 360.00L72.00 %.2f",
                 layers[i].class, 360 - layers[i].share * 296 / 1.08);
        if (!strstr(snug_text_c(&text), want))
            fail_msg("%s is not in %.3000s", want, strstr(snug_text_c(&text), "<path"));
    }
    snug_text_free(&text);
    snug_history_free(&h);
}

static void test_failures(void **state)
{
    (void)state;
    struct snug_history h;
    struct snug_text text;
    struct snug_error error;
    for (uint64_t turn = 1; turn <= 2; turn++) {
        struct snug_counting_allocator counting;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), turn);
        assert_int_equal(snug_history_init(&h, &counting.allocator, &error), SNUG_STATUS_MEMORY);
        assert_int_equal(counting.live, 0);
    }
    open_history(&h);
    snug_text_init(&text, snug_allocator_heap(), 1000);
    assert_int_equal(snug_ladder_svg(&h, "too long", &text, &error), SNUG_STATUS_LIMIT);
    snug_text_free(&text);
    snug_history_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merging),  cmocka_unit_test(test_size),
        cmocka_unit_test(test_odd_runs), cmocka_unit_test(test_levels),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
