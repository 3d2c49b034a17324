/* How a plan is shown to people.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan.h"

enum snug_status plan_check_written(struct snug_error *error)
{
    if (!fflush(stdout) && !ferror(stdout))
        return SNUG_STATUS_OK;
    return snug_error_set(error, SNUG_STATUS_IO, "standard output cannot be written");
}

static void print_consumers(const char *title, const struct snug_consumers *list)
{
    char bytes[24], alone[24];
    printf("\n%-22s %12s %14s\n", title, "", "bytes");
    for (int i = 0; i < list->count; i++) {
        const struct snug_consumer *c = &list->items[i];
        if (!c->bytes && !c->alone_bytes)
            continue;
        printf("  %-20s %12s %14zu", c->name, c->bytes ? snug_format_bytes(c->bytes, bytes) : "-",
               c->bytes);
        if (c->alone_bytes > c->bytes)
            printf("   %s, overlaid", snug_format_bytes(c->alone_bytes, alone));
        putchar('\n');
    }
}

static void print_head(const struct plan *p)
{
    const struct snug_device_profile *d = &p->machine.profile;
    const struct snug_model_options *o = &p->asked.model->options;
    char quant[96] = "", parts[64];
    if (o->quantize)
        snprintf(quant, sizeof quant, ", %s%s%s", snug_quant_name(o->quantize),
                 o->quantize_skip ? " but for " : "", snug_parts_format(o->quantize_skip, parts));
    snug_cli_row(14, "model", "%s%s, %.3f G parameters", p->source.folder.path, quant,
                 (double)p->asked.model->parameters / 1e9);
    snug_cli_row(14, "device", "%s (%s)", d->name, d->title);
    if (p->machine.device_count > 1)
        snug_cli_row(14, "second device", "%s (%s)", p->machine.devices[2].profile.name,
                     p->machine.devices[2].profile.title);
    snug_cli_row(14, "documents", "%lld at once, of %lld tiles and %lld tokens, answer included",
                 (long long)p->asked.parallel, (long long)p->asked.tiles,
                 (long long)p->asked.tokens);
    snug_cli_row(14, "pages", "%lldx%lld pixels", (long long)p->machine.page_width,
                 (long long)p->machine.page_height);
    if (p->machine.device_count)
        snug_cli_row(14, "rung", "%s", snug_rung_name(plan_used(p)->plan.rung));
}

static void print_sum(const char *name, size_t bytes)
{
    char text[24];
    printf("  %-20s %12s %14zu\n", name, snug_format_bytes(bytes, text), bytes);
}

static void print_all_consumers(const struct plan *p)
{
    const struct snug_forecast *f = &plan_used(p)->forecast;
    char text[24];
    print_consumers(f->host.count ? "on the device" : "consumer", &f->device);
    print_sum("peak", f->peak_bytes);
    printf("  %-20s %12s %14zu   gap %.3f %%\n", "no plan is below",
           snug_format_bytes(f->lower_bound_bytes, text), f->lower_bound_bytes, 100 * plan_gap(f));
    if (f->second.count) {
        print_consumers("on the second device", &f->second);
        print_sum("sum", f->second_bytes);
    }
    if (f->host.count) {
        print_consumers("on the host", &f->host);
        print_sum("sum", f->host_bytes);
    }
}

static void print_verdict(const struct plan *p)
{
    const struct rung *used = plan_used(p);
    size_t budget = plan_budget(p, used), missing = plan_missing(p, used);
    char a[24], b[24];
    putchar('\n');
    if (used->fits)
        snug_cli_row(14, "verdict", "fits: %s of %s stay free",
                     snug_format_bytes(budget - used->forecast.peak_bytes, a),
                     snug_format_bytes(budget, b));
    else
        snug_cli_row(14, "verdict", "DOES NOT FIT%s: lacks %s (%zu bytes)",
                     p->ladder.count > 1 ? " on any rung" : "", snug_format_bytes(missing, a),
                     missing);
    snug_cli_row(14, "at most", "%lld documents at once; with %lld, %lld tiles or %lld tokens each",
                 (long long)p->most_documents, (long long)p->used_request.parallel,
                 (long long)p->most_tiles, (long long)p->most_tokens);
}

/* ---- the ladder ---- */

static const char *format_time(double ms, char out[24])
{
    double s = ms / 1000;
    if (s <= 0)
        return "-";
    if (s < 60)
        snprintf(out, 24, "%.3g s", s);
    else if (s < 6000)
        snprintf(out, 24, "%.3g min", s / 60);
    else
        snprintf(out, 24, "%.3g h", s / 3600);
    return out;
}

static const char *format_rate(double rate, char out[24])
{
    snprintf(out, 24, rate < 1000 ? "%.3g" : "%.0f", rate);
    return rate > 0 ? out : "-";
}

static void print_rungs(const struct plan *p)
{
    char device[24], second[24], host[24], rate[24], page[24];
    bool two = p->machine.device_count > 1;
    printf("\n%-17s %-5s %9s %s%9s %4s %8s %8s\n", "rung", "fits", "device",
           two ? "   second " : "", "host", "docs", "tokens/s", "a page");
    for (int i = 0; i < p->ladder.count; i++) {
        const struct rung *r = &p->rungs[i];
        double ms = r->vision_ms + r->prompt_ms + r->answer_ms;
        if (!r->plan.applies)
            continue;
        printf("%-17s %-3s %c %9s ", snug_rung_name(r->plan.rung), r->fits ? "yes" : "no",
               r->fits && i == p->used ? '*' : ' ', snug_format_bytes(r->device_bytes, device));
        if (two)
            printf("%9s ", snug_format_bytes(r->second_bytes, second));
        printf("%9s %4lld %8s %8s\n", snug_format_bytes(r->host_bytes, host),
               (long long)r->plan.slots, format_rate(r->tokens_per_s, rate), format_time(ms, page));
    }
    printf("%s; a page: %lld tiles, %lld tokens of prompt, %lld of answer\n",
           plan_used(p)->fits ? "* would be used" : "no rung fits", (long long)p->asked.tiles,
           (long long)(p->asked.tokens - p->answer_tokens), (long long)p->answer_tokens);
}

static double share(const struct rung *r, double ms)
{
    return r->token.total_ms > 0 ? 100 * ms / r->token.total_ms : 0;
}

/* Where a token's time goes. */
static void print_time(const struct plan *p)
{
    char copied[24];
    printf("\n%-17s %9s %8s %8s %8s %10s\n", "a token's time", "ms", "device", "host", "waiting",
           "copied");
    for (int i = 0; i < p->ladder.count; i++) {
        const struct rung *r = &p->rungs[i];
        const struct snug_cost *c = &r->token;
        if (r->plan.applies && c->total_ms > 0)
            printf("%-17s %9.4g %6.0f %% %6.0f %% %6.0f %% %10s\n", snug_rung_name(r->plan.rung),
                   c->total_ms, share(r, c->busy_ms[1] + c->busy_ms[2]), share(r, c->busy_ms[0]),
                   share(r, c->waited_ms[1] + c->waited_ms[2]),
                   snug_format_bytes((uint64_t)(c->copied_bytes[1] + c->copied_bytes[2]), copied));
    }
    if (p->machine.device_count)
        printf("device, host: computing; waiting: for copies; the rest: starting launches\n");
}

static const char *who_computes(const struct snug_placing *placing)
{
    if (placing->decode_on_host && placing->rest_on_host)
        return "computed there";
    if (placing->decode_on_host)
        return "computed there for answers only";
    return placing->rest_on_host ? "computed there but for answers" : "streamed";
}

/* Of the rungs that are on a device. The first unit to leave it is the embedding, unless that is
 * the head, too. */
static void print_placings(const struct plan *p)
{
    int all = snug_model_unit_count(&p->asked.model->config);
    bool titled = false, has_head = snug_model_part_bytes(p->asked.model, SNUG_PART_LM_HEAD) > 0;
    for (int i = 0; i < p->ladder.count; i++) {
        const struct snug_rung_plan *plan = &p->rungs[i].plan;
        const struct snug_placing *placing = &plan->placing;
        const char *name = snug_rung_name(plan->rung);
        if (!plan->applies || (!placing->host_units && !placing->kv_on_host))
            continue;
        if (!titled)
            printf("\n%-17s of %d units: layers, and what stands before and after them\n",
                   "on the host", all);
        titled = true;
        if (placing->host_units == 1 && has_head)
            snug_cli_row(17, name, "the embedding%s",
                         placing->kv_on_host ? "; keys and values, streamed" : "");
        else if (placing->host_units)
            snug_cli_row(17, name, "%d units%s; %s", placing->host_units,
                         placing->kv_on_host ? ", keys and values" : "", who_computes(placing));
        else
            snug_cli_row(17, name, "keys and values; streamed");
    }
}

/* By what times and the choices above were reckoned. */
static void print_speeds(const struct plan *p)
{
    const struct snug_speed *s = p->request.speeds;
    const struct snug_machine *m = &p->machine;
    bool sheet = !m->device_count && !m->is_this && m->profile.read_gbs > 0;
    char gflops[24], gops[24], read[24], link[24];
    printf("\n%-17s %9s %9s %9s %9s\n", "speeds", "GB/s", "link GB/s", "f32 G/s", "int8 G/s");
    for (int i = 0; i <= m->device_count; i++)
        printf("%-17.17s %9s %9s %9s %9s  %s\n", i ? m->devices[i].profile.name : "host",
               format_rate(s[i].read_gbs, read), i ? format_rate(s[i].link_gbs, link) : "",
               format_rate(s[i].f32_gflops, gflops), format_rate(s[i].int8_gops, gops),
               i || sheet ? "0.7 of data sheet" : "0.7 of measured");
    if (m->device_count)
        printf("Times are estimates; by them is chosen who computes what lies on the host.\n");
}

enum snug_status plan_print_table(const struct plan *p, struct snug_error *error)
{
    print_head(p);
    print_all_consumers(p);
    print_verdict(p);
    print_rungs(p);
    if (plan_used(p)->token.total_ms > 0)
        print_time(p);
    print_placings(p);
    print_speeds(p);
    return plan_check_written(error);
}
