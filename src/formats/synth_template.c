/* Chat templates for folders of random weights, as other programs read them; snug recognises both.
 * Copyright snug contributors. SPDX-License-Identifier: Apache-2.0 */
#include "formats/synth_tokenizer.h"

const char *snug_synth_chat_template(void)
{
    return "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n"
           "'}}{% if message['content'] is string %}{{ message['content'] }}{% else %}"
           "{% for content in message['content'] %}{% if content['type'] == 'image' %}"
           "{{ '<IMG_CONTEXT>\n"
           "' }}{% elif content['type'] == 'video' %}{{ '<video>\n"
           "' }}{% elif content['type'] == 'text' %}{{ content['text'] }}{% endif %}{% endfor %}"
           "{% endif %}{{'<|im_end|>\n"
           "'}}{% endfor %}{% if add_generation_prompt %}{{'<|im_start|>assistant\n"
           "' }}{% endif %}";
}

/* Ours: prints what the instruct models' template does without tools, but every text trimmed. A
 * change is to be made in the list of chat_llama.c, too. */
const char *snug_synth_llama_chat_template(void)
{
    return "{{- bos_token -}}\n"
           "{%- set turns = messages -%}\n"
           "{%- set instructions = '' -%}\n"
           "{%- if turns[0].role == 'system' -%}\n"
           "  {%- set instructions = turns[0].content -%}\n"
           "  {%- if instructions is not string -%}\n"
           "    {%- set instructions = instructions[0].text -%}\n"
           "  {%- endif -%}\n"
           "  {%- set turns = turns[1:] -%}\n"
           "{%- endif -%}\n"
           "{%- set instructions = instructions | trim -%}\n"
           "{%- set found = namespace(picture=false) -%}\n"
           "{%- for turn in turns if turn.content is not string -%}\n"
           "  {%- for part in turn.content if part.type == 'image' -%}\n"
           "    {%- set found.picture = true -%}\n"
           "  {%- endfor -%}\n"
           "{%- endfor -%}\n"
           "{%- if not found.picture -%}\n"
           "  {{- '<|start_header_id|>system<|end_header_id|>\\n\\n' -}}\n"
           "  {{- 'Cutting Knowledge Date: December 2023\\nToday Date: ' -}}\n"
           "  {{- date_string | default('26 Jul 2024') -}}\n"
           "  {{- '\\n\\n' + instructions + '<|eot_id|>' -}}\n"
           "{%- elif instructions -%}\n"
           "  {{- raise_exception('Prompting with images is incompatible with system messages.') "
           "-}}\n"
           "{%- endif -%}\n"
           "{%- for turn in turns -%}\n"
           "  {{- '<|start_header_id|>' + turn.role + '<|end_header_id|>\\n\\n' -}}\n"
           "  {%- if turn.content is string -%}\n"
           "    {{- turn.content | trim -}}\n"
           "  {%- else -%}\n"
           "    {%- for part in turn.content -%}\n"
           "      {%- if part.type == 'image' -%}\n"
           "        {{- '<|image|>' -}}\n"
           "      {%- elif part.type == 'text' -%}\n"
           "        {{- part.text | trim -}}\n"
           "      {%- endif -%}\n"
           "    {%- endfor -%}\n"
           "  {%- endif -%}\n"
           "  {{- '<|eot_id|>' -}}\n"
           "{%- endfor -%}\n"
           "{%- if add_generation_prompt -%}\n"
           "  {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}\n"
           "{%- endif -%}\n";
}
