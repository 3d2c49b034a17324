/* Tests of program/timeline_svg.c: the file is well-formed XML, every operand of the region is
 * there once and where it lies, names cannot break out, and it fails cleanly. Copyright snug
 * contributors. SPDX-License-Identifier: Apache-2.0 */
#include "../check.h"
#include "../xml.h"

#include "models/model.h"
#include "program/timeline_svg.h"

#include <math.h>

/* As the page is cut (timeline_svg.c). */
#define LEFT 84.0
#define RIGHT 1180.0
#define TOP 88.0
#define BOTTOM 676.0

static void test_the_check(void **state)
{
    (void)state;
    static const char *const good[] = {"<a/>", "<a b=\"1\" c=\"&lt;\"><b>x &amp; y</b><c/></a>\n"};
    static const char *const bad[] = {"",
                                      "x",
                                      "<a>",
                                      "</a>",
                                      "<a></b>",
                                      "<a/><b/>",
                                      "<a b=1/>",
                                      "<a b=\"<\"/>",
                                      "<a>&</a>",
                                      "<a>&x;</a>",
                                      "<a>\001</a>",
                                      "<a><b></a></b>",
                                      "<a b=\"1/>",
                                      "<a>x > y</a>",
                                      "<a></a>x",
                                      "<a b=\"\"c=\"\"/>",
                                      "<a/></a>",
                                      "<a>x"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!xml_well_formed(good[i]))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (xml_well_formed(bad[i]))
            fail_msg("taken: %s", bad[i]);
}

/* ---- what is drawn ---- */

struct box {
    double x, y, width, height;
};

static double attribute(const char *element, const char *name)
{
    char pattern[16];
    snprintf(pattern, sizeof pattern, " %s=\"", name);
    const char *at = strstr(element, pattern);
    assert_non_null(at);
    return strtod(at + strlen(pattern), NULL);
}

/* The rectangle whose tooltip begins with this name and says these steps (phases have operands of
 * the same name); there must be one and only one. */
static struct box find_box(const char *svg, const char *escaped_name, int first, int last)
{
    char pattern[256], from[32], to[32];
    const char *found = NULL;
    int count = 0;
    snprintf(pattern, sizeof pattern, "<title>%s\n", escaped_name);
    snprintf(from, sizeof from, "\nstep %d (", first);
    snprintf(to, sizeof to, ") to step %d (", last);
    for (const char *at = strstr(svg, pattern); at; at = strstr(at + 1, pattern)) {
        const char *end = strstr(at, "</title>"), *a = strstr(at, from), *b = strstr(at, to);
        if (a && b && a < end && b < end) {
            found = at;
            count++;
        }
    }
    if (count != 1)
        fail_msg("%s, steps %d to %d, is there %d times", escaped_name, first, last, count);
    while (strncmp(found, "<rect", 5))
        found--;
    return (struct box){attribute(found, "x"), attribute(found, "y"), attribute(found, "width"),
                        attribute(found, "height")};
}

static bool drawn(const struct snug_operand *operand)
{
    return operand->kind != SNUG_OPERAND_KIND_WEIGHT && operand->first_step >= 0;
}

/* Every operand whose name needs no escaping lies where its steps, offset and bytes put it.
 * Returns how many operands lie in the region. */
static int check_boxes(const struct snug_program *program, const char *svg, size_t peak)
{
    double step = (RIGHT - LEFT) / program->step_count;
    double byte = (BOTTOM - TOP) / ((double)peak * 1.05);
    int count = 0;
    for (int i = 0; i < program->operand_count; i++) {
        const struct snug_operand *o = &program->operands[i];
        count += drawn(o);
        if (!drawn(o) || strpbrk(o->name, "<>&\"'\x01\xff"))
            continue;
        struct box box = find_box(svg, o->name, o->first_step, o->last_step);
        double width = fmax((o->last_step + 1 - o->first_step) * step, 0.8);
        double height = fmax((double)o->bytes * byte, 0.8);
        double x = fmin(LEFT + o->first_step * step, RIGHT - width);
        double y = BOTTOM - (double)o->offset * byte - height;
        if (fabs(box.x - x) > 0.01 || fabs(box.y - y) > 0.01 || fabs(box.width - width) > 0.01 ||
            fabs(box.height - height) > 0.01)
            fail_msg("%s: %g %g %g %g, expected %g %g %g %g", o->name, box.x, box.y, box.width,
                     box.height, x, y, width, height);
    }
    return count;
}

static int count_of(const char *text, const char *pattern)
{
    int count = 0;
    for (text = strstr(text, pattern); text; text = strstr(text + 1, pattern))
        count++;
    return count;
}

/* Two phases; names that would break a careless file; an operand of nothing; bands that are too
 * low for names. With enough steps, rectangles under a pixel. */
static void build(struct snug_program *program, const struct snug_allocator *allocator, int steps)
{
    snug_program_init(program, allocator);
    snug_program_phase(program, "first <\"&\">", 3);
    int keep = snug_program_operand(program, SNUG_OPERAND_KIND_STATE, SNUG_DTYPE_F32, 0, 1, 300000,
                                    "a <b> & \"c\" 'd' \x01 \xff");
    int in = snug_program_operand(program, SNUG_OPERAND_KIND_INPUT, SNUG_DTYPE_F32, 1, 0, 50000,
                                  "the input");
    int none =
        snug_program_operand(program, SNUG_OPERAND_KIND_STATE, SNUG_DTYPE_F32, 0, 0, 7, "nothing");
    snug_program_operand(program, SNUG_OPERAND_KIND_SCRATCH, SNUG_DTYPE_F32, 1, 0, 9, "unused");
    int weight =
        snug_program_weight(program, "weight", SNUG_DTYPE_F32, SNUG_QUANT_NONE, NULL, 4096);
    for (int s = 0; s < steps; s++) {
        if (s == steps / 2)
            snug_program_phase(program, "second", 1);
        int out = s ? snug_program_operand(program, SNUG_OPERAND_KIND_SCRATCH, SNUG_DTYPE_F32, 0, 1,
                                           1 + s * 100 % 70000, "scratch.%d", s)
                    : keep;
        int band = s < 30 ? snug_program_operand(program, SNUG_OPERAND_KIND_LASTING, SNUG_DTYPE_F32,
                                                 0, 1, 15000, "band.%d", s)
                          : -1;
        struct snug_step *step = snug_program_step(program, SNUG_OP_KIND_GELU);
        step->in[0] = s == steps / 2 ? keep : in;
        step->in[1] = weight;
        step->in[2] = s % 2 ? none : -1;
        step->out[0] = out;
        step->out[1] = band;
    }
}

static void lay_out(struct snug_program *program, size_t *peak, size_t *bound)
{
    struct snug_error error;
    assert_ok(snug_program_finish(program, &error));
    assert_ok(snug_layout_make(program, peak, bound, &error));
}

static void test_made_up(void **state)
{
    (void)state;
    static const int sizes[] = {2, 40, 1999};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        struct snug_program program;
        struct snug_text text;
        struct snug_error error;
        size_t peak, bound;
        build(&program, snug_allocator_heap(), sizes[n]);
        lay_out(&program, &peak, &bound);
        snug_text_init(&text, snug_allocator_heap(), 4u << 20);
        assert_ok(snug_program_timeline_svg(&program, "x < y & \"z\"", peak, bound, &text, &error));
        assert_true(snug_utf8_valid(text.data, text.length));
        assert_true(xml_well_formed(text.data));
        int count = check_boxes(&program, text.data, peak);
        int bands = sizes[n] < 30 ? sizes[n] : 30;
        assert_int_equal(count, 3 + sizes[n] - 1 + bands);
        assert_int_equal(count_of(text.data, "</title></rect>"), count);
        find_box(text.data, "a &lt;b&gt; &amp; \"c\" 'd' \xef\xbf\xbd \xef\xbf\xbd", 0,
                 sizes[n] - 1);
        assert_non_null(strstr(text.data, ">x &lt; y &amp; \"z\"</text>"));
        assert_non_null(strstr(text.data, "weights (4.00 KiB) lie apart"));
        assert_int_equal(count_of(text.data, "30 alike, 0.06 MiB each"), bands == 30);
        assert_null(strstr(text.data, "unused"));
        assert_null(strstr(text.data, "nan"));
        snug_text_free(&text);
        snug_program_free(&program);
    }
}

static void test_nothing(void **state)
{
    (void)state;
    struct snug_program program;
    struct snug_text text;
    struct snug_error error;
    snug_program_init(&program, snug_allocator_heap());
    snug_text_init(&text, snug_allocator_heap(), 1u << 20);
    assert_ok(snug_program_timeline_svg(&program, "", 0, 0, &text, &error));
    assert_true(xml_well_formed(text.data));
    snug_text_free(&text);
    snug_program_free(&program);
}

/* A real family's program, laid out as for documents. */
static void test_internvl(void **state)
{
    (void)state;
    struct snug_folder folder = {.path = test_path("tests/golden/internvl/hf-a"),
                                 .allocator = snug_allocator_heap()};
    struct snug_program_options options = {.vision_batch = 1,
                                           .tiles = 3,
                                           .prefill_chunk = 32,
                                           .capacity = 256,
                                           .kv_dtype = SNUG_DTYPE_F16,
                                           .slots = 2};
    struct snug_program_handles handles;
    struct snug_program program;
    struct snug_model *model = NULL;
    struct snug_text text;
    struct snug_error error;
    size_t peak, bound;
    assert_ok(snug_model_load(&folder, snug_device_cpu(), NULL, NULL, snug_allocator_heap(), &model,
                              &error));
    assert_ok(
        snug_model_program(model, &options, snug_allocator_heap(), &program, &handles, &error));
    assert_ok(snug_layout_make(&program, &peak, &bound, &error));
    snug_text_init(&text, snug_allocator_heap(), 4u << 20);
    assert_ok(snug_program_timeline_svg(&program, model->name, peak, bound, &text, &error));
    assert_true(xml_well_formed(text.data));
    int count = check_boxes(&program, text.data, peak);
    assert_in_range(count, 50, 1000);
    assert_int_equal(count_of(text.data, "</title></rect>"), count);
    assert_non_null(strstr(text.data, "vision, up to 1 a run"));
    assert_non_null(strstr(text.data, "prefill, up to 32 a run"));
    assert_non_null(strstr(text.data, "decode, up to 2 a run"));
    assert_in_range(text.length, 1000, 6000 + 350 * (size_t)count); /* as the header says */
    snug_text_free(&text);
    snug_program_free(&program);
    snug_model_free(model);
}

static void test_failures(void **state)
{
    (void)state;
    struct snug_program program;
    struct snug_text text;
    struct snug_error error;
    size_t peak, bound;
    build(&program, snug_allocator_heap(), 40);
    lay_out(&program, &peak, &bound);
    snug_text_init(&text, snug_allocator_heap(), 1000);
    assert_int_equal(snug_program_timeline_svg(&program, "x", peak, bound, &text, &error),
                     SNUG_STATUS_LIMIT);
    assert_int_equal(snug_program_timeline_svg(&program, "x", peak / 2, bound / 2, &text, &error),
                     SNUG_STATUS_SHAPE);
    assert_int_equal(snug_program_timeline_svg(&program, "x", peak, peak + 1, &text, &error),
                     SNUG_STATUS_SHAPE);
    snug_text_free(&text);
    uint64_t fail_at = 1;
    for (;; fail_at++) {
        struct snug_counting_allocator counting;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        snug_text_init(&text, &counting.allocator, 4u << 20);
        enum snug_status status =
            snug_program_timeline_svg(&program, "x", peak, bound, &text, &error);
        snug_text_free(&text);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            break;
        }
        assert_int_equal(status, SNUG_STATUS_MEMORY);
    }
    assert_in_range(fail_at, 5, 100);
    snug_program_free(&program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_check), cmocka_unit_test(test_made_up),
        cmocka_unit_test(test_nothing), cmocka_unit_test(test_internvl),
        cmocka_unit_test(test_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
