/* ANLS, best matching, ANLS*.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "extract/similarity.h"

#include <math.h>

static void near(double got, double wanted, const char *what)
{
    if (!(fabs(got - wanted) < 1e-9))
        fail_msg("%s: %.12g, wanted %.12g", what, got, wanted);
}

static void test_anls(void **state)
{
    (void)state;
    static const struct {
        const char *truth, *answer;
        double score;
    } cases[] = {{"", "", 1},
                 {"a", "", 0},
                 {"hello", "hello", 1},
                 {"hello", "HELLO ", 1},
                 {"hello", "hello!", 1 - 1.0 / 6},
                 {"Hello World", "Hello  Wrld", 1 - 1.0 / 11},
                 {"ab", "ac", 0},
                 {"abc", "abd", 1 - 1.0 / 3},
                 {"abcd", "abxy", 0},
                 {"kitten", "sitting", 1 - 3.0 / 7},
                 {"caf\xc3\xa9", "CAF\xc3\x89", 1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        double score = -1;
        assert_int_equal(
            snug_anls(cases[i].truth, cases[i].answer, snug_allocator_heap(), &score, NULL),
            SNUG_STATUS_OK);
        near(score, cases[i].score, cases[i].answer);
        assert_int_equal(
            snug_anls(cases[i].answer, cases[i].truth, snug_allocator_heap(), &score, NULL),
            SNUG_STATUS_OK);
        near(score, cases[i].score, cases[i].answer);
    }
}

/* The best of all assignments by trying every one; taken is a set of columns. */
static double brute_force(const double *weights, size_t rows, size_t columns, size_t row,
                          unsigned taken)
{
    if (row == rows)
        return 0;
    double best = rows > columns ? brute_force(weights, rows, columns, row + 1, taken) : 0;
    for (size_t j = 0; j < columns; j++)
        if (!(taken & 1u << j)) {
            double sum = weights[row * columns + j] +
                         brute_force(weights, rows, columns, row + 1, taken | 1u << j);
            best = sum > best ? sum : best;
        }
    return best;
}

static void test_matching(void **state)
{
    (void)state;
    uint32_t seed = 12345;
    for (int round = 0; round < 300; round++) {
        double weights[36], total = -1, sum = 0;
        size_t rows = 1 + (size_t)round % 6, columns = 1 + (size_t)round / 6 % 6, match[6];
        for (size_t i = 0; i < rows * columns; i++) {
            seed = seed * 1664525u + 1013904223u;
            weights[i] = (seed >> 28) / 15.0; /* many ties */
        }
        assert_int_equal(
            snug_best_match(weights, rows, columns, snug_allocator_heap(), match, &total, NULL),
            SNUG_STATUS_OK);
        unsigned taken = 0;
        size_t matched = 0;
        for (size_t i = 0; i < rows; i++) {
            if (match[i] == (size_t)-1)
                continue;
            assert_true(match[i] < columns && !(taken & 1u << match[i]));
            taken |= 1u << match[i];
            sum += weights[i * columns + match[i]];
            matched++;
        }
        assert_int_equal(matched, rows < columns ? rows : columns);
        near(total, sum, "total");
        near(total, brute_force(weights, rows, columns, 0, 0), "best");
    }
}

#define TEXT(t)                                                                                    \
    {                                                                                              \
        .kind = SNUG_ANLS_KIND_TEXT, .text = t                                                     \
    }
#define KEYED(k, t)                                                                                \
    {                                                                                              \
        .kind = SNUG_ANLS_KIND_TEXT, .key = k, .text = t                                           \
    }

static double star(const struct snug_anls_node *truth, const struct snug_anls_node *answer)
{
    double score = -1;
    assert_int_equal(snug_anls_star(truth, answer, snug_allocator_heap(), &score, NULL),
                     SNUG_STATUS_OK);
    return score;
}

static void test_anls_star_golden(void **state)
{
    (void)state;
    const struct snug_anls_node options[] = {TEXT("hello"), TEXT("world")};
    const struct snug_anls_node words[] = {TEXT("this"), TEXT("is"), TEXT("a"), TEXT("test")};
    const struct snug_anls_node truth_items[] = {
        {.kind = SNUG_ANLS_KIND_ANY, .key = "a", .items = options, .count = 2},
        {.kind = SNUG_ANLS_KIND_LIST, .key = "b", .items = words, .count = 4}};
    const struct snug_anls_node given[] = {TEXT("a"), TEXT("test"), TEXT("this"), TEXT("be")};
    const struct snug_anls_node answer_items[] = {
        KEYED("a", "hello!"),
        {.kind = SNUG_ANLS_KIND_LIST, .key = "b", .items = given, .count = 4}};
    struct snug_anls_node truth = {.kind = SNUG_ANLS_KIND_RECORD, .items = truth_items, .count = 2};
    struct snug_anls_node answer = {
        .kind = SNUG_ANLS_KIND_RECORD, .items = answer_items, .count = 2};
    near(star(&truth, &answer), (5.0 / 6 + 3) / 5, "golden");
    assert_int_equal((int)(star(&truth, &answer) * 10000 + 0.5), 7667);
}

static void test_anls_star_shapes(void **state)
{
    (void)state;
    const struct snug_anls_node a[] = {KEYED("x", "one"), KEYED("y", "two")};
    const struct snug_anls_node b[] = {KEYED("y", "two"), KEYED("z", "six")};
    const struct snug_anls_node four[] = {TEXT("a"), TEXT("b"), TEXT("c"), TEXT("d")};
    struct snug_anls_node ab = {.kind = SNUG_ANLS_KIND_RECORD, .items = a, .count = 2};
    struct snug_anls_node yz = {.kind = SNUG_ANLS_KIND_RECORD, .items = b, .count = 2};
    struct snug_anls_node nothing = {.kind = SNUG_ANLS_KIND_RECORD},
                          none = {.kind = SNUG_ANLS_KIND_NONE};
    struct snug_anls_node list4 = {.kind = SNUG_ANLS_KIND_LIST, .items = four, .count = 4};
    struct snug_anls_node list2 = {.kind = SNUG_ANLS_KIND_LIST, .items = four, .count = 2};
    struct snug_anls_node text = TEXT("a");
    near(star(&ab, &ab), 1, "same");
    near(star(&ab, &yz), 1.0 / 3, "union of keys");
    near(star(&ab, &nothing), 0, "nothing given");
    near(star(&nothing, &ab), 0, "all invented");
    near(star(&nothing, &nothing), 1, "nothing and nothing");
    near(star(&none, &none), 1, "none and none");
    near(star(&list4, &list2), 0.5, "shorter list");
    near(star(&list2, &list4), 0.5, "longer list");
    near(star(&list4, &text), 0, "another kind");
    struct snug_anls_node deep[40];
    for (int i = 0; i < 40; i++)
        deep[i] =
            (struct snug_anls_node){.kind = i < 39 ? SNUG_ANLS_KIND_LIST : SNUG_ANLS_KIND_NONE,
                                    .items = &deep[i + 1 < 40 ? i + 1 : 39],
                                    .count = i < 39};
    double score;
    assert_int_equal(snug_anls_star(&deep[0], &deep[0], snug_allocator_heap(), &score, NULL),
                     SNUG_STATUS_LIMIT);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    const struct snug_anls_node four[] = {TEXT("a"), TEXT("b"), TEXT("c"), TEXT("d")};
    struct snug_anls_node list = {.kind = SNUG_ANLS_KIND_LIST, .items = four, .count = 4};
    for (uint64_t fail_at = 1;; fail_at++) {
        struct snug_counting_allocator counting;
        double score;
        snug_counting_allocator_init(&counting, snug_allocator_heap(), fail_at);
        enum snug_status status = snug_anls_star(&list, &list, &counting.allocator, &score, NULL);
        assert_int_equal(counting.live, 0);
        if (!counting.failed) {
            assert_int_equal(status, SNUG_STATUS_OK);
            break;
        }
        assert_int_equal(status, SNUG_STATUS_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_anls), cmocka_unit_test(test_matching),
                                       cmocka_unit_test(test_anls_star_golden),
                                       cmocka_unit_test(test_anls_star_shapes),
                                       cmocka_unit_test(test_allocation_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
