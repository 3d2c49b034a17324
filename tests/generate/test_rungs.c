/* Which placement a rung chooses, on the true shape of a large model: the most documents and the
 * fewest units on the host that fit, and no more.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"

#include "generate/rungs.h"
#include "models/builtin.h"

#define GIB ((size_t)1 << 30)
#define MIB ((size_t)1 << 20)

static struct snug_model *open_outline(const char *name)
{
    struct snug_model_options options = snug_model_options_default();
    struct snug_builtin builtin;
    struct snug_model *model = NULL;
    struct snug_error error;
    options.quantize = SNUG_QUANT_Q8;
    assert_ok(snug_builtin_open(name, 0, snug_allocator_heap(), &builtin, &error));
    assert_ok(snug_model_outline(&builtin.folder, &options, snug_allocator_heap(), &model, &error));
    snug_builtin_close(&builtin);
    return model;
}

static struct snug_rung_request request_of(const struct snug_model *model, int64_t slots,
                                           size_t bytes, int devices)
{
    struct snug_rung_request r = {.model = model,
                                  .session = snug_session_options_default(),
                                  .tokens = 4096,
                                  .tiles = 4,
                                  .device_count = devices,
                                  .free_bytes = {SIZE_MAX, bytes, bytes},
                                  .granularity = {4096, 2 * MIB, 2 * MIB}};
    r.session.device = snug_device_dry();
    r.session.slots = slots;
    r.speeds[0] = (struct snug_speed){.read_gbs = 20, .f32_gflops = 200, .int8_gops = 800};
    for (int d = 1; d <= devices; d++) {
        r.devices[d] = snug_device_dry();
        r.speeds[d] = (struct snug_speed){
            .read_gbs = 600, .f32_gflops = 10000, .int8_gops = 40000, .link_gbs = 11};
    }
    return r;
}

/* Whether a placing with so many slots keeps within what the devices have. */
static bool fits(const struct snug_rung_request *r, const struct snug_rung_plan *plan,
                 int host_units, int64_t slots)
{
    struct snug_rung_plan other = *plan;
    struct snug_session session;
    struct snug_error error;
    size_t weights[SNUG_MAX_SPACES];
    bool within = true;
    other.placing.host_units = host_units;
    other.slots = slots;
    assert_ok(snug_rung_session(r, &other, &session, &error));
    snug_placing_weight_bytes(&other.placing, r->model, weights);
    for (int d = 1; d <= r->device_count; d++) {
        size_t grain = r->granularity[d];
        size_t need = (weights[d] + grain - 1) / grain * grain +
                      (session.placed.peak_bytes[d] + grain - 1) / grain * grain;
        within = within && need <= r->free_bytes[d];
    }
    snug_session_free(&session);
    return within;
}

static struct snug_rung_plan plan_of(const struct snug_rung_request *r, enum snug_rung rung)
{
    struct snug_rung_plan plan;
    struct snug_error error;
    assert_ok(snug_rung_plan(r, rung, &plan, &error));
    return plan;
}

/* One unit less would not do. */
static void test_fewest_units(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        size_t bytes;
        int devices;
        int64_t slots;
    } cases[] = {{"internvl3-8b", 8 * GIB, 1, 1},        {"internvl3-8b", 4 * GIB, 1, 1},
                 {"internvl3-8b", 2 * GIB, 1, 1},        {"internvl3-8b", 700 * MIB, 1, 1},
                 {"internvl3-8b", 6 * GIB, 1, 8},        {"internvl3-8b", 3 * GIB, 2, 1},
                 {"internvl3-2b", 1 * GIB, 1, 1},        {"llama-3.2-11b-vision", 8 * GIB, 1, 1},
                 {"llama-3.2-11b-vision", 3 * GIB, 2, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct snug_model *model = open_outline(cases[i].model);
        struct snug_rung_request r =
            request_of(model, cases[i].slots, cases[i].bytes, cases[i].devices);
        struct snug_rung_plan plan = plan_of(&r, SNUG_RUNG_STREAM);
        int units = plan.placing.host_units;
        bool less = units > 1 && fits(&r, &plan, units - 1, plan.slots);
        if (!plan.applies || !plan.fits || !fits(&r, &plan, units, plan.slots) || less)
            fail_msg("%s in %zu bytes: %d units on the host, fits %d, so does one less %d",
                     cases[i].model, cases[i].bytes, units, plan.fits, less);
        snug_model_free(model);
    }
}

/* One document more would not do, and what does not fit at all is worked out for one. */
static void test_most_slots(void **state)
{
    (void)state;
    struct snug_model *model = open_outline("internvl3-8b");
    struct snug_rung_request r = request_of(model, 40, 12 * GIB, 1);
    struct snug_rung_plan plan = plan_of(&r, SNUG_RUNG_NARROW);
    assert_true(plan.fits && plan.slots > 1 && plan.slots < 39);
    assert_true(fits(&r, &plan, 0, plan.slots));
    assert_false(fits(&r, &plan, 0, plan.slots + 1));
    r = request_of(model, 40, 4 * GIB, 1);
    plan = plan_of(&r, SNUG_RUNG_NARROW);
    assert_false(plan.fits);
    assert_int_equal(plan.slots, 1);
    snug_model_free(model);
}

/* Where the host is what lacks memory, the rung is still the one that takes least of it. */
static void test_small_host(void **state)
{
    (void)state;
    struct snug_model *model = open_outline("internvl3-8b");
    struct snug_rung_request r = request_of(model, 1, 4 * GIB, 1);
    struct snug_rung_plan roomy = plan_of(&r, SNUG_RUNG_STREAM);
    r.free_bytes[0] = roomy.need_bytes[0];
    struct snug_rung_plan just = plan_of(&r, SNUG_RUNG_STREAM);
    assert_true(just.fits);
    assert_int_equal(just.placing.host_units, roomy.placing.host_units);
    r.free_bytes[0]--;
    assert_false(plan_of(&r, SNUG_RUNG_STREAM).fits);
    snug_model_free(model);
}

/* Memory seen before gives the same plans. */
static void test_remembered(void **state)
{
    (void)state;
    struct snug_model *model = open_outline("internvl3-2b");
    struct snug_rung_known known = {.allocator = snug_allocator_heap()};
    for (size_t bytes = 3 * GIB; bytes >= GIB; bytes -= GIB / 2)
        for (int rung = 0; rung < SNUG_RUNG_COUNT; rung++) {
            struct snug_rung_request r = request_of(model, 2, bytes, 1);
            struct snug_rung_plan fresh = plan_of(&r, (enum snug_rung)rung);
            r.known = &known;
            struct snug_rung_plan recalled = plan_of(&r, (enum snug_rung)rung);
            if (fresh.fits != recalled.fits || fresh.slots != recalled.slots ||
                fresh.placing.host_units != recalled.placing.host_units ||
                fresh.placing.decode_on_host != recalled.placing.decode_on_host ||
                fresh.need_bytes[1] != recalled.need_bytes[1])
                fail_msg("%s in %zu bytes: %d units and %lld slots, remembered %d and %lld",
                         snug_rung_name((enum snug_rung)rung), bytes, fresh.placing.host_units,
                         (long long)fresh.slots, recalled.placing.host_units,
                         (long long)recalled.slots);
        }
    snug_rung_known_free(&known);
    snug_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fewest_units),
        cmocka_unit_test(test_most_slots),
        cmocka_unit_test(test_small_host),
        cmocka_unit_test(test_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
