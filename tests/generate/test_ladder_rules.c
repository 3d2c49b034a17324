/* When the ladder moves and when it does not: room, watermark, pauses after failures, losses, what
 * is refused and why. Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "ladder_world.h"

#define FEW 5

/* A ladder with a device, a script and a history; documents of FEW tokens. */
struct stage {
    struct world w;
    struct text want;
    const struct snug_device *device;
    struct snug_ladder_options options;
    struct snug_ladder ladder;
    struct history history;
};

static void set_up(struct stage *s, const char *rungs, const struct snug_sim_event *events,
                   size_t count)
{
    const struct asked asked = asked_usually(0, FEW);
    s->w = open_world("tests/golden/internvl/hf-a", 1);
    expect_text(&s->w, &asked, &s->want);
    s->device = open_scripted(events, count);
    s->options = ladder_options(&s->w, FEW, s->device, rungs);
    tell_to(&s->options, &s->history);
}

static void open_stage(struct stage *s)
{
    struct snug_error error;
    assert_ok(snug_ladder_open(&s->ladder, s->w.model, &s->options, snug_allocator_heap(), &error));
}

static void tear_down(struct stage *s)
{
    snug_ladder_close(&s->ladder);
    close_sim(s->device);
    close_world(&s->w);
}

static enum snug_status read_next(struct stage *s, struct text *out)
{
    const struct asked asked = asked_usually(0, FEW);
    read_one(&s->ladder, &s->w, &asked, out);
    return out->status;
}

/* The next document is read well, on that rung. */
static void expect_on(struct stage *s, enum snug_rung rung, int number)
{
    static struct text have;
    char what[32];
    snprintf(what, sizeof what, "document %d", number);
    (void)read_next(s, &have);
    assert_same_text(&have, &s->want, what);
    if (have.rung != rung)
        fail_msg("%s is on %s, not on %s", what, snug_rung_name(have.rung), snug_rung_name(rung));
}

static void expect_status(struct stage *s, enum snug_status status, int number)
{
    static struct text have;
    if (read_next(s, &have) != status)
        fail_msg("document %d: %s instead of %s: %s", number, snug_status_text(have.status),
                 snug_status_text(status), have.error.message);
    assert_true(have.error.message[0]);
}

/* Bytes that a rung takes of the device. */
static uint64_t need_of(struct stage *s, enum snug_rung rung)
{
    struct snug_rung_request r;
    struct snug_rung_plan plan;
    struct snug_error error;
    assert_ok(snug_ladder_request(&s->ladder, &r, &error));
    assert_ok(snug_rung_plan(&r, rung, &plan, &error));
    return plan.need_bytes[1];
}

/* ---- memory ---- */

/* What a neighbour leaves and returns: down at once, up after two starts in a row with room. */
static void test_memory(void **state)
{
    (void)state;
    static struct stage s;
    set_up(&s, rungs_from(0, true), NULL, 0);
    s.options.forced = false;
    s.options.watermark_bytes = SIM_GRAIN;
    open_stage(&s);
    expect_on(&s, SNUG_RUNG_RESIDENT, 1);
    uint64_t resident = need_of(&s, SNUG_RUNG_RESIDENT);
    /* The watermark: what is left is enough, but others want to live. */
    snug_sim_neighbour(s.device, UINT64_MAX);
    expect_on(&s, SNUG_RUNG_KV_OFFLOAD, 2);
    assert_true(snug_sim_figures(s.device).ours < resident);
    assert_int_equal(s.ladder.stats.lowest_free_bytes, 0);
    snug_sim_neighbour(s.device, 0);
    expect_on(&s, SNUG_RUNG_KV_OFFLOAD, 3);
    snug_sim_neighbour(s.device, UINT64_MAX); /* room was there once, which is not enough */
    expect_on(&s, SNUG_RUNG_STREAM, 4);
    snug_sim_neighbour(s.device, 0);
    expect_on(&s, SNUG_RUNG_STREAM, 5);
    expect_on(&s, SNUG_RUNG_RELOAD, 6);
    expect_on(&s, SNUG_RUNG_RELOAD, 7);
    assert_int_equal(s.ladder.stats.lowest_free_bytes, 0);
    assert_int_equal(s.history.by_kind[SNUG_EVENT_KIND_UP], 1);
    assert_int_equal(s.ladder.stats.ups, 1);
    const struct snug_event *up = find_event(&s.history, SNUG_EVENT_KIND_UP);
    assert_int_equal(up->number, 6);
    assert_int_equal(up->from, SNUG_RUNG_STREAM);
    assert_int_equal(up->to, SNUG_RUNG_RELOAD);
    assert_int_equal(up->bytes, resident);
    assert_true(up->ms > 0);
    tear_down(&s);
}

/* Nobody's memory is respected if that is what was asked for. */
static void test_no_watermark(void **state)
{
    (void)state;
    static struct stage s;
    set_up(&s, rungs_from(0, true), NULL, 0);
    s.options.watermark_bytes = 0;
    open_stage(&s);
    expect_on(&s, SNUG_RUNG_RESIDENT, 1);
    snug_sim_neighbour(s.device, UINT64_MAX);
    expect_on(&s, SNUG_RUNG_RESIDENT, 2);
    assert_int_equal(s.history.count, 1);
    tear_down(&s);
}

/* Between documents only the weights are kept; the next one takes what it needs, or goes down. */
static void test_elastic(void **state)
{
    (void)state;
    static struct stage s;
    set_up(&s, rungs_from(0, true), NULL, 0);
    s.options.elastic = true;
    s.options.forced = false;
    s.options.watermark_bytes = SIM_GRAIN;
    open_stage(&s);
    uint64_t weights = snug_sim_figures(s.device).ours;
    uint64_t resident = need_of(&s, SNUG_RUNG_RESIDENT);
    assert_true(weights < resident);
    expect_on(&s, SNUG_RUNG_RESIDENT, 1);
    assert_int_equal(snug_sim_figures(s.device).ours, weights);
    assert_int_equal(s.ladder.stats.peak_bytes[1], resident);
    assert_true(find_event(&s.history, SNUG_EVENT_KIND_GIVE)->bytes > 0);
    /* refused at the very moment */
    const struct snug_sim_fault fault = {.call = SNUG_SIM_CALL_TAKE, .at = 1, .count = 1};
    snug_sim_set_faults(s.device, &fault, 1);
    expect_on(&s, SNUG_RUNG_KV_OFFLOAD, 2);
    const struct snug_event *down = find_event(&s.history, SNUG_EVENT_KIND_DOWN);
    assert_int_equal(down->cause, SNUG_STATUS_MEMORY);
    snug_sim_neighbour(s.device, UINT64_MAX);
    expect_on(&s, SNUG_RUNG_STREAM, 3);
    assert_true(snug_sim_figures(s.device).ours < weights);
    tear_down(&s);
}

/* A document that is larger than planned is refused, and moves nothing. */
static void test_too_large(void **state)
{
    (void)state;
    for (int elastic = 0; elastic < 2; elastic++) {
        static struct stage s;
        static struct text have;
        const struct asked large = asked_usually(0, MAX_NEW_TOKENS);
        set_up(&s, rungs_from(0, true), NULL, 0);
        s.options.elastic = elastic;
        open_stage(&s);
        read_one(&s.ladder, &s.w, &large, &have);
        assert_int_equal(have.status, SNUG_STATUS_DOES_NOT_FIT);
        assert_int_equal(have.move_count, 0);
        expect_on(&s, SNUG_RUNG_RESIDENT, 2);
        tear_down(&s);
    }
}

/* The only rung does not fit: how much it needs, and how much there is. */
static void test_does_not_fit(void **state)
{
    (void)state;
    for (int rung = 0; rung < SNUG_RUNG_CPU; rung++) {
        static struct stage s;
        const struct snug_sim_options tiny = sim_options(64 << 10);
        const struct snug_device *device;
        struct snug_error error;
        if (rung == SNUG_RUNG_NARROW)
            continue;
        set_up(&s, snug_rung_name((enum snug_rung)rung), NULL, 0);
        assert_ok(snug_sim_open(&tiny, snug_allocator_heap(), &device, &error));
        s.options.devices[1] = device;
        enum snug_status status =
            snug_ladder_open(&s.ladder, s.w.model, &s.options, snug_allocator_heap(), &error);
        if (status != SNUG_STATUS_DOES_NOT_FIT || !strstr(error.message, "64.0 KiB") ||
            !strstr(error.message, snug_rung_name((enum snug_rung)rung)) ||
            !strstr(error.message, "needs"))
            fail_msg("%s: %s: %s", snug_rung_name((enum snug_rung)rung), snug_status_text(status),
                     error.message);
        close_sim(device);
        tear_down(&s);
    }
}

/* ---- failures ---- */

/* The document goes on elsewhere, the next one tries the device again; if that fails, the second,
 * the fourth after that. */
static void test_pauses(void **state)
{
    (void)state;
    static const int tries[] = {3, 5, 9, 17};
    for (int many = 0; many < 2; many++) {
        static struct stage s;
        const struct snug_sim_fault broken = {
            .call = SNUG_SIM_CALL_LAUNCH, .at = 1, .count = 1000000};
        set_up(&s, many ? rungs_from(0, true) : "resident,cpu", NULL, 0);
        open_stage(&s);
        expect_on(&s, SNUG_RUNG_RESIDENT, 1);
        snug_sim_set_faults(s.device, &broken, 1);
        expect_on(&s, SNUG_RUNG_CPU, 2);
        size_t next = 0;
        for (int number = 3; number <= 20; number++) {
            int before = s.history.count;
            expect_on(&s, SNUG_RUNG_CPU, number);
            bool tried = s.history.count > before,
                 should = next < sizeof tries / sizeof *tries && tries[next] == number;
            if (tried != should)
                fail_msg("document %d: %s", number, tried ? "tries the device" : "does not try it");
            next += should;
        }
        snug_sim_set_faults(s.device, NULL, 0);
        for (int number = 21; number < 33; number++)
            expect_on(&s, SNUG_RUNG_CPU, number);
        expect_on(&s, many ? SNUG_RUNG_RELOAD : SNUG_RUNG_RESIDENT, 33);
        assert_int_equal(s.ladder.backoff, 0);
        tear_down(&s);
    }
}

/* Without fallback a failure is the document's; the next one is read. */
static void test_no_fallback(void **state)
{
    (void)state;
    for (int lose = 0; lose < 2; lose++) {
        static struct stage s;
        const struct snug_sim_event events[2] = {
            {.kind = lose ? SNUG_SIM_EVENT_LOSE : SNUG_SIM_EVENT_FAIL,
             .document = 2,
             .token = 2,
             .call = SNUG_SIM_CALL_LAUNCH,
             .count = !lose},
            {.kind = SNUG_SIM_EVENT_LOSE, .document = 4, .token = -1}};
        set_up(&s, rungs_from(0, true), events, 2);
        s.options.no_fallback = true;
        open_stage(&s);
        expect_on(&s, SNUG_RUNG_RESIDENT, 1);
        expect_status(&s, lose ? SNUG_STATUS_DEVICE_LOST : SNUG_STATUS_DEVICE, 2);
        expect_on(&s, SNUG_RUNG_RESIDENT, 3);
        expect_status(&s, SNUG_STATUS_DEVICE_LOST, 4);
        expect_on(&s, SNUG_RUNG_RESIDENT, 5);
        tear_down(&s);
    }
}

/* Lost in the middle: the same bytes from the host; the reset is tried after pauses. */
static void test_loss(void **state)
{
    (void)state;
    static struct stage s;
    const struct snug_sim_event lose = {
        .kind = SNUG_SIM_EVENT_LOSE, .document = 2, .token = 3, .count = 2};
    set_up(&s, rungs_from(0, true), &lose, 1);
    open_stage(&s);
    expect_on(&s, SNUG_RUNG_RESIDENT, 1);
    for (int number = 2; number < 9; number++) /* the resets of 3 and 5 fail */
        expect_on(&s, SNUG_RUNG_CPU, number);
    assert_int_equal(snug_sim_figures(s.device).ours, 0);
    expect_on(&s, SNUG_RUNG_RELOAD, 9);
    assert_int_equal(snug_sim_figures(s.device).resets, 1);
    assert_int_equal(find_event(&s.history, SNUG_EVENT_KIND_DOWN)->token, 3);
    tear_down(&s);
}

/* With nothing but the device: reset and loaded afresh at once; if that fails the document is
 * refused, and each one after it tries again. */
static void test_loss_without_host(void **state)
{
    (void)state;
    static struct stage s;
    const struct snug_sim_event lose[2] = {
        {.kind = SNUG_SIM_EVENT_LOSE, .document = 2, .token = 3},
        {.kind = SNUG_SIM_EVENT_LOSE, .document = 4, .token = 3, .count = 3}};
    set_up(&s, "resident,reload", lose, 2);
    open_stage(&s);
    expect_on(&s, SNUG_RUNG_RESIDENT, 1);
    expect_on(&s, SNUG_RUNG_RELOAD, 2);
    expect_on(&s, SNUG_RUNG_RELOAD, 3);
    expect_status(&s, SNUG_STATUS_DEVICE_LOST, 4);
    assert_false(s.ladder.stands);
    expect_status(&s, SNUG_STATUS_DEVICE_LOST, 5);
    expect_status(&s, SNUG_STATUS_DEVICE_LOST, 6);
    expect_on(&s, SNUG_RUNG_RESIDENT, 7);
    tear_down(&s);
}

/* The device goes while documents are on the host: nothing happens to them. */
static void test_loss_elsewhere(void **state)
{
    (void)state;
    static struct stage s;
    set_up(&s, "resident,cpu", NULL, 0);
    open_stage(&s);
    snug_sim_neighbour(s.device, UINT64_MAX);
    expect_on(&s, SNUG_RUNG_CPU, 1);
    snug_sim_lose(s.device, 0);
    expect_on(&s, SNUG_RUNG_CPU, 2);
    snug_sim_neighbour(s.device, 0);
    expect_on(&s, SNUG_RUNG_RESIDENT, 3);
    tear_down(&s);
}

/* The device goes between two documents, in a pause: who asks for its free memory is told, and its
 * pinned memory must not be touched. */
static void test_loss_in_a_pause(void **state)
{
    (void)state;
    static struct stage s;
    const struct snug_sim_event events[2] = {
        {.kind = SNUG_SIM_EVENT_FAIL,
         .document = 1,
         .token = 2,
         .call = SNUG_SIM_CALL_LAUNCH,
         .count = 1},
        {.kind = SNUG_SIM_EVENT_LOSE, .document = 2, .token = -1}};
    for (int lists = 0; lists < 2; lists++) {
        set_up(&s, lists ? "resident" : "resident,stream,cpu", events + lists, 2 - (size_t)lists);
        open_stage(&s);
        s.ladder.try_at = 100; /* no climb */
        expect_on(&s, lists ? SNUG_RUNG_RESIDENT : SNUG_RUNG_STREAM, 1);
        s.ladder.try_at = 100;
        if (lists)
            expect_status(&s, SNUG_STATUS_DEVICE_LOST, 2);
        else
            expect_on(&s, SNUG_RUNG_CPU, 2);
        tear_down(&s);
    }
}

/* ---- two devices ---- */

static void test_two_devices(void **state)
{
    (void)state;
    for (int which = 1; which <= 2; which++)
        for (int first = 0; first < SNUG_RUNG_CPU; first++) {
            static struct stage s;
            const struct snug_sim_event event = {.kind = first % 2 ? SNUG_SIM_EVENT_FAIL
                                                                   : SNUG_SIM_EVENT_LOSE,
                                                 .document = 2,
                                                 .token = 2,
                                                 .call = SNUG_SIM_CALL_LAUNCH,
                                                 .count = 1};
            const struct snug_device *other = open_scripted(NULL, 0);
            if (first == SNUG_RUNG_NARROW) {
                close_sim(other);
                continue;
            }
            set_up(&s, rungs_from(first, true), &event, 1);
            s.options.devices[which] = s.device;
            s.options.devices[3 - which] = other;
            s.options.device_count = 2;
            open_stage(&s);
            expect_on(&s, (enum snug_rung)first, 1);
            assert_true(first >= SNUG_RUNG_STREAM ||
                        (snug_sim_figures(s.device).ours > 0 && snug_sim_figures(other).ours > 0));
            static struct text have;
            (void)read_next(&s, &have);
            assert_same_text(&have, &s.want, "with a failure");
            (void)read_next(&s, &have); /* whose picture the first device sees again */
            assert_same_text(&have, &s.want, "after it");
            assert_true(s.ladder.stats.downs >= 1);
            snug_ladder_close(&s.ladder);
            close_sim(other);
            tear_down(&s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_no_watermark),
        cmocka_unit_test(test_elastic),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_does_not_fit),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_no_fallback),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_loss_without_host),
        cmocka_unit_test(test_loss_elsewhere),
        cmocka_unit_test(test_loss_in_a_pause),
        cmocka_unit_test(test_two_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
