/* How a plan is shown.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan.h"

#include "base/json.h"

#include <string.h>

static double gap(const struct snug_forecast *f)
{
    return f->peak_bytes ? (double)(f->peak_bytes - f->lower_bound_bytes) / (double)f->peak_bytes
                         : 0;
}

static enum snug_status check_written(struct snug_error *error)
{
    if (!fflush(stdout) && !ferror(stdout))
        return SNUG_STATUS_OK;
    return snug_error_set(error, SNUG_STATUS_IO, "standard output cannot be written");
}

/* ---- for people ---- */

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

enum snug_status plan_print_table(const struct plan *p, struct snug_error *error)
{
    const struct rung *first = &p->rungs[0];
    const struct snug_forecast *f = &first->forecast;
    const struct snug_device_profile *d = &p->machine.profile;
    char a[24], b[24], quant[96] = "", parts[64];
    const struct snug_model_options *o = &p->request.model->options;
    if (o->quantize)
        snprintf(quant, sizeof quant, ", %s%s%s", snug_quant_name(o->quantize),
                 o->quantize_skip ? " but for " : "", snug_parts_format(o->quantize_skip, parts));
    snug_cli_row(14, "model", "%s%s, %.3f G parameters", p->source.folder.path, quant,
                 (double)p->request.model->parameters / 1e9);
    snug_cli_row(14, "device", "%s (%s)", d->name, d->title);
    snug_cli_row(14, "documents", "%lld at once, of %lld tiles and %lld tokens, answer included",
                 (long long)p->request.parallel, (long long)p->request.tiles,
                 (long long)p->request.tokens);
    snug_cli_row(14, "pages", "%lldx%lld pixels", (long long)p->machine.page_width,
                 (long long)p->machine.page_height);
    print_consumers(p->rungs[0].host_bytes ? "on the device" : "consumer", &f->device);
    printf("  %-20s %12s %14zu\n", "peak", snug_format_bytes(f->peak_bytes, a), f->peak_bytes);
    printf("  %-20s %12s %14zu   gap %.3f %%\n", "no plan is below",
           snug_format_bytes(f->lower_bound_bytes, a), f->lower_bound_bytes, 100 * gap(f));
    if (f->host.count) {
        print_consumers("on the host", &f->host);
        printf("  %-20s %12s %14zu\n", "sum", snug_format_bytes(f->host_bytes, a), f->host_bytes);
    }
    putchar('\n');
    if (first->fits)
        snug_cli_row(14, "verdict", "fits: %s of %s stay free",
                     snug_format_bytes(first->budget - f->peak_bytes, a),
                     snug_format_bytes(first->budget, b));
    else
        snug_cli_row(14, "verdict", "DOES NOT FIT: %s (%zu bytes) more than %s",
                     snug_format_bytes(f->peak_bytes - first->budget, a),
                     f->peak_bytes - first->budget, snug_format_bytes(first->budget, b));
    snug_cli_row(14, "at most", "%lld documents at once; with %lld, %lld tiles or %lld tokens each",
                 (long long)p->most_documents, (long long)p->request.parallel,
                 (long long)p->most_tiles, (long long)p->most_tokens);
    printf("\n%-12s %-5s %12s %12s %14s\n", "rung", "fits", "device", "host", "tokens/s");
    for (int i = 0; i < p->rung_count; i++) {
        const struct rung *r = &p->rungs[i];
        printf("%-12s %-5s %12s %12s %14.3g\n", r->name, r->fits ? "yes" : "no",
               snug_format_bytes(r->device_bytes, a), snug_format_bytes(r->host_bytes, b),
               r->tokens_per_s);
    }
    printf("\ntokens/s: 0.7 of the memory speed (%s) over what a token reads\n",
           first->read_gbs > 0 && d->read_gbs > 0 ? "data sheet" : "measured now");
    return check_written(error);
}

/* ---- for programs ---- */

static void put_consumers(struct snug_text *t, const char *key, const struct snug_consumers *list)
{
    snug_text_printf(t, "  \"%s\": [", key);
    for (int i = 0; i < list->count; i++)
        snug_text_printf(t, "%s\n    {\"name\": \"%s\", \"bytes\": %zu, \"alone_bytes\": %zu}",
                         i ? "," : "", list->items[i].name, list->items[i].bytes,
                         list->items[i].alone_bytes);
    snug_text_puts(t, list->count ? "\n  ],\n" : "],\n");
}

static void put_size(struct snug_text *t, const char *key, size_t bytes)
{
    snug_text_printf(t, "  \"%s\": %zu,\n", key, bytes);
}

static void put_rungs(struct snug_text *t, const struct plan *p)
{
    snug_text_puts(t, "  \"rungs\": [");
    for (int i = 0; i < p->rung_count; i++) {
        const struct rung *r = &p->rungs[i];
        snug_text_printf(t,
                         "%s\n    {\"name\": \"%s\", \"fits\": %s, \"device_bytes\": %zu, "
                         "\"host_bytes\": %zu, \"tokens_per_s\": ",
                         i ? "," : "", r->name, r->fits ? "true" : "false", r->device_bytes,
                         r->host_bytes);
        snug_json_put_double(t, r->tokens_per_s);
        snug_text_putc(t, '}');
    }
    snug_text_puts(t, "\n  ]\n}\n");
}

enum snug_status plan_print_json(const struct plan *p, struct snug_error *error)
{
    const struct rung *first = &p->rungs[0];
    const struct snug_forecast *f = &first->forecast;
    char parts[64];
    struct snug_text t;
    snug_text_init(&t, p->allocator, 1 << 20);
    snug_text_puts(&t, "{\n  \"model\": ");
    snug_json_put_string(&t, p->source.folder.path);
    snug_text_puts(&t, ",\n  \"device\": ");
    snug_json_put_string(&t, p->machine.profile.name);
    snug_text_printf(&t, ",\n  \"quantize\": \"%s\",\n  \"quantize_skip\": \"%s\",\n",
                     snug_quant_name(p->request.model->options.quantize),
                     snug_parts_format(p->request.model->options.quantize_skip, parts));
    snug_text_printf(&t, "  \"fits\": %s,\n", first->fits ? "true" : "false");
    put_size(&t, "budget_bytes", first->budget);
    put_size(&t, "peak_bytes", f->peak_bytes);
    put_size(&t, "lower_bound_bytes", f->lower_bound_bytes);
    snug_text_puts(&t, "  \"gap\": ");
    snug_json_put_double(&t, gap(f));
    snug_text_puts(&t, ",\n");
    put_size(&t, "free_bytes", first->fits ? first->budget - f->peak_bytes : 0);
    put_size(&t, "missing_bytes", first->fits ? 0 : f->peak_bytes - first->budget);
    put_consumers(&t, "consumers", &f->device);
    put_consumers(&t, "host_consumers", &f->host);
    put_size(&t, "weights_bytes", f->weights_bytes);
    put_size(&t, "region_bytes", f->region_bytes);
    put_size(&t, "region_lower_bound_bytes", f->region_lower_bound_bytes);
    put_size(&t, "kv_bytes_per_document", f->kv_bytes);
    put_size(&t, "parallel", (size_t)p->request.parallel);
    put_size(&t, "tiles", (size_t)p->request.tiles);
    put_size(&t, "context", (size_t)p->request.tokens);
    put_size(&t, "documents_at_once", (size_t)p->most_documents);
    put_size(&t, "max_tiles", (size_t)p->most_tiles);
    put_size(&t, "max_context", (size_t)p->most_tokens);
    put_rungs(&t, p);
    enum snug_status status = snug_text_status(&t, error, "the plan");
    if (!status) {
        fputs(snug_text_c(&t), stdout);
        status = check_written(error);
    }
    snug_text_free(&t);
    return status;
}
