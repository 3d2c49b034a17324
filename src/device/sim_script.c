/* Reads scripts of simulated devices.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "device/sim_script.h"

#include "base/files.h"
#include "base/limits.h"
#include "device/read_json.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define GRANULARITY_BYTES (UINT64_C(2) << 20)

/* ---- what stands after "sim:" ---- */

enum snug_sim_spec snug_sim_spec_of(const char *text)
{
    uint64_t bytes;
    if (strchr(text, '/') || snug_text_ends_with_ignore_case(text, ".json"))
        return SNUG_SIM_SPEC_FILE;
    return snug_size_parse(text, &bytes) ? SNUG_SIM_SPEC_SIZE : SNUG_SIM_SPEC_PROFILE;
}

static enum snug_status card_of(const char *text, const struct snug_device_profiles *profiles,
                                struct snug_device_profile *card, struct snug_error *error)
{
    const struct snug_device_profile *like = NULL;
    uint64_t bytes = 0;
    if (!snug_size_parse(text, &bytes) || bytes < GRANULARITY_BYTES ||
        bytes > SNUG_MAX_DEVICE_MEMORY_BYTES)
        return snug_error_set(error, SNUG_STATUS_USAGE,
                              "sim:%s: a simulated card has from 2 MiB to 1 PiB", text);
    *card = (struct snug_device_profile){0};
    if (!snug_device_profile_find(profiles, SNUG_SIM_CARD, &like, NULL))
        *card = *like;
    snprintf(card->name, sizeof card->name, "%s", text);
    card->memory_bytes = bytes;
    card->reserved_bytes = 0;
    card->granularity_bytes = GRANULARITY_BYTES;
    return SNUG_STATUS_OK;
}

enum snug_status snug_sim_options_of_spec(const char *text,
                                          const struct snug_device_profiles *profiles,
                                          struct snug_sim_options *options,
                                          struct snug_error *error)
{
    struct snug_device_profile card;
    const struct snug_device_profile *profile = &card;
    if (snug_sim_spec_of(text) == SNUG_SIM_SPEC_SIZE)
        SNUG_TRY(card_of(text, profiles, &card, error));
    else
        SNUG_TRY(snug_device_profile_find(profiles, text, &profile, error));
    *options = snug_sim_options_of(profile);
    return SNUG_STATUS_OK;
}

/* ---- events ---- */

/* Exactly one of the keys; its index. */
static enum snug_status one_of(const struct snug_device_json *json, const char *const *keys,
                               size_t count, size_t *index)
{
    size_t found = count;
    for (size_t i = 0; i < count; i++) {
        if (!json_object_get(json->object, keys[i]))
            continue;
        if (found < count)
            return snug_device_json_fail(json, keys[i], "does not go with \"%s\": one of the two",
                                         keys[found]);
        found = i;
    }
    if (found == count) {
        char list[96] = "";
        for (size_t i = 1, used = 0; i < count; i++)
            used += (size_t)snprintf(list + used, sizeof list - used, " or \"%s\"", keys[i]);
        return snug_device_json_fail(json, keys[0], "is missing;%s in its place will do", list);
    }
    *index = found;
    return SNUG_STATUS_OK;
}

/* `key` is there only together with `needed`. */
static enum snug_status goes_with(const struct snug_device_json *json, const char *key,
                                  const char *needed)
{
    if (json_object_get(json->object, key) && !json_object_get(json->object, needed))
        return snug_device_json_fail(json, key, "goes with \"%s\" only", needed);
    return SNUG_STATUS_OK;
}

static enum snug_status read_moment(const struct snug_device_json *json,
                                    struct snug_sim_event *event)
{
    static const char *const moments[] = {"document", "ms"};
    size_t which = 0;
    SNUG_TRY(one_of(json, moments, COUNT(moments), &which));
    SNUG_TRY(goes_with(json, "token", "document"));
    event->document = event->token = -1;
    SNUG_TRY(
        snug_device_json_integer(json, "document", 1, SNUG_SIM_MAX_DOCUMENT, &event->document));
    SNUG_TRY(snug_device_json_integer(json, "token", 0, SNUG_MAX_NEW_TOKENS, &event->token));
    return snug_device_json_number(json, "ms", 0, SNUG_SIM_MAX_MS, &event->at_ms);
}

static enum snug_status read_call(const struct snug_device_json *json, enum snug_sim_call *call)
{
    const char *name = NULL;
    SNUG_TRY(snug_device_json_string(json, "fail", 64, &name));
    for (int i = 0; i < SNUG_SIM_CALL_COUNT; i++) {
        if (!strcmp(name, snug_sim_call_name((enum snug_sim_call)i))) {
            *call = (enum snug_sim_call)i;
            return SNUG_STATUS_OK;
        }
    }
    return snug_device_json_fail(json, "fail",
                                 "is \"%s\"; it must be take, take_host, copy_to, copy_from, "
                                 "launch, synchronise or any",
                                 name);
}

static enum snug_status read_action(const struct snug_device_json *json,
                                    struct snug_sim_event *event)
{
    static const char *const actions[] = {"neighbour", "fail", "lose", "link"};
    size_t which = 0;
    int64_t count = 1;
    SNUG_TRY(one_of(json, actions, COUNT(actions), &which));
    SNUG_TRY(goes_with(json, "count", "fail"));
    event->kind = (enum snug_sim_event_kind)which; /* the list is in the order of the enum */
    switch (event->kind) {
    case SNUG_SIM_EVENT_NEIGHBOUR:
        return snug_device_json_size(json, "neighbour", &event->bytes);
    case SNUG_SIM_EVENT_FAIL:
        SNUG_TRY(read_call(json, &event->call));
        SNUG_TRY(snug_device_json_integer(json, "count", 1, SNUG_SIM_MAX_DOCUMENT, &count));
        break;
    case SNUG_SIM_EVENT_LOSE:
        SNUG_TRY(snug_device_json_integer(json, "lose", 0, SNUG_SIM_MAX_DOCUMENT, &count));
        break;
    case SNUG_SIM_EVENT_LINK:
        return snug_device_json_number(json, "link", SNUG_SIM_MIN_LINK, SNUG_SIM_MAX_LINK,
                                       &event->factor);
    }
    event->count = (uint64_t)count;
    return SNUG_STATUS_OK;
}
_Static_assert(SNUG_SIM_EVENT_NEIGHBOUR == 0 && SNUG_SIM_EVENT_FAIL == 1 &&
                   SNUG_SIM_EVENT_LOSE == 2 && SNUG_SIM_EVENT_LINK == 3,
               "the order of `actions`");

static enum snug_status read_event(const struct snug_device_json *json, struct snug_sim_event *out)
{
    static const char *const known[] = {"document", "token", "ms",   "neighbour",
                                        "fail",     "count", "lose", "link"};
    struct snug_sim_event event = {0};
    if (!json_is_object(json->object))
        return snug_error_set(json->error, SNUG_STATUS_FORMAT, "%s: %s: must be an object",
                              json->file, json->where);
    SNUG_TRY(snug_device_json_keys(json, known, COUNT(known), "an event"));
    SNUG_TRY(read_moment(json, &event));
    SNUG_TRY(read_action(json, &event));
    *out = event;
    return SNUG_STATUS_OK;
}

/* Documents' moments before those of virtual time: the two are never compared. */
static bool is_before(const struct snug_sim_event *a, const struct snug_sim_event *b)
{
    if ((a->document < 0) != (b->document < 0))
        return a->document >= 0;
    if (a->document < 0)
        return a->at_ms < b->at_ms;
    return a->document != b->document ? a->document < b->document : a->token < b->token;
}

/* Puts it after all that are not later: events of one moment keep the file's order. */
static void insert(struct snug_sim_script *script, const struct snug_sim_event *event)
{
    size_t low = 0, high = script->event_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (is_before(event, &script->events[middle]))
            high = middle;
        else
            low = middle + 1;
    }
    memmove(script->events + low + 1, script->events + low,
            (script->event_count - low) * sizeof *script->events);
    script->events[low] = *event;
    script->event_count++;
}

static enum snug_status read_events(const struct snug_device_json *top,
                                    struct snug_sim_script *script)
{
    json_t *events = json_object_get(top->object, "events");
    size_t count = json_array_size(events);
    if (!events)
        return SNUG_STATUS_OK;
    if (!json_is_array(events))
        return snug_device_json_fail(top, "events", "must be a list");
    if (count > SNUG_SIM_MAX_EVENTS)
        return snug_device_json_fail(top, "events", "has %zu; at most %d", count,
                                     SNUG_SIM_MAX_EVENTS);
    script->events = snug_calloc(script->allocator, count, sizeof *script->events);
    if (!script->events)
        return snug_error_memory(top->error, count * sizeof *script->events, "a script's events");
    for (size_t i = 0; i < count; i++) {
        struct snug_device_json json = {
            .file = top->file, .object = json_array_get(events, i), .error = top->error};
        struct snug_sim_event event;
        snprintf(json.where, sizeof json.where, "event %zu", i + 1);
        SNUG_TRY(read_event(&json, &event));
        insert(script, &event);
    }
    return SNUG_STATUS_OK;
}

/* ---- the machine ---- */

static enum snug_status read_machine(const struct snug_device_json *json,
                                     const struct snug_device_profiles *profiles,
                                     struct snug_sim_options *options)
{
    const char *device = NULL;
    const struct snug_device_profile *found = NULL;
    struct snug_device_profile machine = {.granularity_bytes = GRANULARITY_BYTES};
    SNUG_TRY(snug_device_json_string(json, "device", SNUG_DEVICE_NAME_BYTES, &device));
    if (device) {
        struct snug_error why;
        if (snug_device_profile_find(profiles, device, &found, &why))
            return snug_device_json_fail(json, "device", "names no profile: %s", why.message);
        machine = *found;
    } else if (!json_object_get(json->object, "memory")) {
        return snug_device_json_fail(json, "memory", "is missing; \"device\" in its place will do");
    }
    SNUG_TRY(snug_device_json_figures(json, &machine));
    *options = snug_sim_options_of(&machine);
    SNUG_TRY(snug_device_json_number(json, "launch_us", 0, SNUG_SIM_MAX_LATENCY_US,
                                     &options->launch_us));
    SNUG_TRY(
        snug_device_json_number(json, "copy_us", 0, SNUG_SIM_MAX_LATENCY_US, &options->copy_us));
    snprintf(options->name, sizeof options->name, "sim:%s", snug_path_base(json->file));
    return SNUG_STATUS_OK;
}

static enum snug_status read_script(const struct snug_device_json *json,
                                    const struct snug_device_profiles *profiles,
                                    struct snug_sim_script *script)
{
    static const char *const known[] = {"device",    "memory",     "reserved",  "granularity",
                                        "read_gbs",  "f32_gflops", "int8_gops", "link_gbs",
                                        "launch_us", "copy_us",    "events"};
    if (!json_is_object(json->object))
        return snug_error_set(json->error, SNUG_STATUS_FORMAT,
                              "%s: an object with \"device\" or \"memory\" was expected",
                              json->file);
    SNUG_TRY(snug_device_json_keys(json, known, COUNT(known), "a script"));
    SNUG_TRY(read_machine(json, profiles, &script->options));
    SNUG_TRY(read_events(json, script));
    script->options.events = script->events;
    script->options.event_count = script->event_count;
    return SNUG_STATUS_OK;
}

enum snug_status snug_sim_script_parse(const char *text, size_t size, const char *file,
                                       const struct snug_device_profiles *profiles,
                                       const struct snug_allocator *allocator,
                                       struct snug_sim_script *script, struct snug_error *error)
{
    struct snug_sim_script read = {.allocator = allocator};
    struct snug_device_json json = {.file = file, .error = error};
    if (size > SNUG_SIM_MAX_SCRIPT_BYTES)
        return snug_error_set(error, SNUG_STATUS_LIMIT, "%s: longer than %u bytes", file,
                              SNUG_SIM_MAX_SCRIPT_BYTES);
    SNUG_TRY(snug_json_parse(text, size, false, file, &json.object, error));
    enum snug_status status = read_script(&json, profiles, &read);
    json_decref(json.object);
    if (status) {
        snug_sim_script_free(&read);
        return status;
    }
    *script = read;
    return SNUG_STATUS_OK;
}

void snug_sim_script_free(struct snug_sim_script *script)
{
    if (script->events)
        snug_free(script->allocator, script->events);
    *script = (struct snug_sim_script){0};
}
