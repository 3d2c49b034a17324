/* A plan as JSON, for programs.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "cli/plan.h"

#include "base/json.h"

#include <math.h>

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

static void put_double(struct snug_text *t, const char *before, double value)
{
    snug_text_puts(t, before);
    snug_json_put_double(t, value > 0 ? value : NAN); /* not known: null */
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static void put_time(struct snug_text *t, const struct rung *r)
{
    const struct snug_cost *c = &r->token;
    put_double(t, ",\n     \"tokens_per_s\": ", r->tokens_per_s);
    put_double(t, ", \"prefill_tokens_per_s\": ", r->prefill_tokens_per_s);
    if (!r->plan.applies || c->total_ms <= 0) {
        snug_text_puts(t, ", \"time\": null, \"page\": null");
        return;
    }
    snug_text_puts(t, ",\n     \"time\": {\"total_ms\": ");
    snug_json_put_double(t, c->total_ms);
    snug_text_puts(t, ", \"device_ms\": ");
    snug_json_put_double(t, c->busy_ms[1] + c->busy_ms[2]);
    snug_text_puts(t, ", \"host_ms\": ");
    snug_json_put_double(t, c->busy_ms[SNUG_SPACE_HOST]);
    snug_text_puts(t, ", \"waited_ms\": ");
    snug_json_put_double(t, c->waited_ms[1] + c->waited_ms[2]);
    snug_text_puts(t, ", \"copied_bytes\": ");
    snug_json_put_double(t, trunc(c->copied_bytes[1] + c->copied_bytes[2]));
    snug_text_puts(t, "},\n     \"page\": {\"vision_ms\": ");
    snug_json_put_double(t, r->vision_ms);
    snug_text_puts(t, ", \"prompt_ms\": ");
    snug_json_put_double(t, r->prompt_ms);
    snug_text_puts(t, ", \"answer_ms\": ");
    snug_json_put_double(t, r->answer_ms);
    snug_text_putc(t, '}');
}

static void put_rungs(struct snug_text *t, const struct plan *p)
{
    snug_text_puts(t, "  \"rungs\": [");
    for (int i = 0; i < p->ladder.count; i++) {
        const struct rung *r = &p->rungs[i];
        const struct snug_placing *placing = &r->plan.placing;
        snug_text_printf(t, "%s\n    {\"name\": \"%s\", \"applies\": %s, \"fits\": %s,",
                         i ? "," : "", snug_rung_name(p->ladder.items[i]), truth(r->plan.applies),
                         truth(r->fits));
        snug_text_printf(t,
                         " \"device_bytes\": %zu, \"second_bytes\": %zu, \"host_bytes\": %zu,\n"
                         "     \"slots\": %lld, \"host_units\": %d, \"kv_on_host\": %s, ",
                         r->device_bytes, r->second_bytes, r->host_bytes, (long long)r->plan.slots,
                         placing->host_units, truth(placing->kv_on_host));
        snug_text_printf(t, "\"decode_on_host\": %s, \"rest_on_host\": %s, \"staging_bytes\": %zu",
                         truth(placing->decode_on_host), truth(placing->rest_on_host),
                         r->plan.staging_bytes);
        put_time(t, r);
        snug_text_putc(t, '}');
    }
    snug_text_puts(t, "\n  ],\n");
}

static void put_speeds(struct snug_text *t, const struct plan *p)
{
    snug_text_puts(t, "  \"speeds\": [");
    for (int i = 0; i <= p->machine.device_count; i++) {
        const struct snug_speed *s = &p->request.speeds[i];
        snug_text_puts(t, i ? ",\n    {\"name\": " : "\n    {\"name\": ");
        snug_json_put_string(t, i ? p->machine.devices[i].profile.name : "host");
        put_double(t, ", \"read_gbs\": ", s->read_gbs);
        put_double(t, ", \"f32_gflops\": ", s->f32_gflops);
        put_double(t, ", \"int8_gops\": ", s->int8_gops);
        put_double(t, ", \"link_gbs\": ", s->link_gbs);
        snug_text_putc(t, '}');
    }
    snug_text_puts(t, "\n  ]\n}\n");
}

static void put_head(struct snug_text *t, const struct plan *p)
{
    char parts[64];
    snug_text_puts(t, "{\n  \"model\": ");
    snug_json_put_string(t, p->source.folder.path);
    snug_text_puts(t, ",\n  \"device\": ");
    snug_json_put_string(t, p->machine.profile.name);
    snug_text_printf(t, ",\n  \"quantize\": \"%s\",\n  \"quantize_skip\": \"%s\",\n",
                     snug_quant_name(p->asked.model->options.quantize),
                     snug_parts_format(p->asked.model->options.quantize_skip, parts));
    snug_text_printf(t, "  \"fits\": %s,\n  \"rung\": \"%s\",\n", truth(plan_used(p)->fits),
                     snug_rung_name(p->ladder.items[p->used]));
}

static void put_figures(struct snug_text *t, const struct plan *p)
{
    const struct rung *used = plan_used(p);
    const struct snug_forecast *f = &used->forecast;
    size_t budget = plan_budget(p, used);
    put_size(t, "budget_bytes", budget);
    put_size(t, "host_budget_bytes", p->host_budget);
    put_size(t, "peak_bytes", f->peak_bytes);
    put_size(t, "lower_bound_bytes", f->lower_bound_bytes);
    snug_text_puts(t, "  \"gap\": ");
    snug_json_put_double(t, plan_gap(f));
    snug_text_puts(t, ",\n");
    put_size(t, "free_bytes", used->fits ? budget - f->peak_bytes : 0);
    put_size(t, "missing_bytes", plan_missing(p, used));
    put_consumers(t, "consumers", &f->device);
    put_consumers(t, "second_consumers", &f->second);
    put_consumers(t, "host_consumers", &f->host);
    put_size(t, "weights_bytes", f->weights_bytes);
    put_size(t, "region_bytes", f->region_bytes);
    put_size(t, "region_lower_bound_bytes", f->region_lower_bound_bytes);
    put_size(t, "kv_bytes_per_document", f->kv_bytes);
    put_size(t, "parallel", (size_t)p->asked.parallel);
    put_size(t, "tiles", (size_t)p->asked.tiles);
    put_size(t, "context", (size_t)p->asked.tokens);
    put_size(t, "answer_tokens", (size_t)p->answer_tokens);
    put_size(t, "units", (size_t)snug_model_unit_count(&p->asked.model->config));
    put_size(t, "documents_at_once", (size_t)p->most_documents);
    put_size(t, "max_tiles", (size_t)p->most_tiles);
    put_size(t, "max_context", (size_t)p->most_tokens);
}

enum snug_status plan_print_json(const struct plan *p, struct snug_error *error)
{
    struct snug_text t;
    snug_text_init(&t, p->allocator, 1 << 20);
    put_head(&t, p);
    put_figures(&t, p);
    put_rungs(&t, p);
    put_speeds(&t, p);
    enum snug_status status = snug_text_status(&t, error, "the plan");
    if (!status) {
        fputs(snug_text_c(&t), stdout);
        status = plan_check_written(error);
    }
    snug_text_free(&t);
    return status;
}
