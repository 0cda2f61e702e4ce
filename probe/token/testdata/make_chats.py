#!/usr/bin/env python3
"""Renders chat templates and template snippets with Hugging Face transformers and stores what it gives.

    python3 make_chats.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf       writes chats.json here and jinja/testdata/snippets.json

The templates below are written for this test in the manner of published ones. SmolLM2's own is read from its file; only its
output is stored.
"""
import argparse
import datetime
import json
import os

from transformers.utils import chat_template_utils as ctu

HERE = os.path.dirname(os.path.abspath(__file__))
NOW = datetime.datetime(2026, 3, 7, 9, 5, 4)

TEMPLATES = {
    "chatml": """{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' }}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "llama3": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = strftime_now("%d %b %Y") if strftime_now is defined else "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today: " ~ date_string ~ "\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if message.tool_calls is defined and message.tool_calls %}
        {%- if message.tool_calls | length != 1 %}
            {{- raise_exception("One tool call at a time.") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- call.arguments | tojson }}
        {{- "}" }}
    {%- else %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "qwen": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set thought = '' %}
        {%- if message.reasoning_content is defined and message.reasoning_content is not none %}
            {%- set thought = message.reasoning_content %}
        {%- elif '</think>' in message.content %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
            {%- set thought = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query and (loop.last or thought) %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
                {{- '<tool_call>\\n{"name": "' ~ tool_call.name ~ '", "arguments": ' }}
                {%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- message.content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}""",
    "gemma": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}
""",
    "mistral": """{%- macro call(c, last=false) -%}
[{{ c.function.name | tojson }}, {{ c.function.arguments | tojson(separators=(',', ':')) }}]{% if not last %}, {% endif %}
{%- endmacro -%}
{%- set users = messages | selectattr('role', 'equalto', 'user') | list -%}
{{ bos_token }}{% for m in messages if m.role != 'system' %}
{%- if m.role == 'user' %}{% if m == users[-1] %}[LAST]{% endif %}[INST] {{ m.content }} [/INST]
{%- elif m.role == 'assistant' %}{% generation %}{% if m.tool_calls %}[CALLS]{% for c in m.tool_calls %}{{ call(c, last=loop.last) }}{% endfor %}{% else %} {{ m.content }}{% endif %}{{ eos_token }}{% endgeneration %}
{%- endif %}{% endfor %}{# done #}
""",
}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather, \"now\" <b>", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 3, "max": 7.5}}, "required": ["city"]}}}]
CALL = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich & co", "days": 2}}}]}
CHATS = [
    [{"role": "user", "content": "Hello!"}],
    [{"role": "system", "content": " Be brief. \n"}, {"role": "user", "content": "  What is 1+1?\n"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb"}, {"role": "user", "content": "日本語 🙂 <|im_end|>"}],
    [{"role": "system", "content": "s"}, {"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "reasoning_content": "why"}],
    [{"role": "user", "content": "weather?"}, CALL, {"role": "tool", "content": "{\"t\": 3}"}, {"role": "tool", "content": "2"}],
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " look "}]}],
    [{"role": "assistant", "content": "first"}],
]
OPTIONS = [{"add_generation_prompt": False}, {"add_generation_prompt": True}, {"add_generation_prompt": True, "tools": TOOLS},
           {"add_generation_prompt": True, "vars": {"enable_thinking": False, "date_string": "1 Jan 2025"}}]

SNIPPETS = """
{{ 1 }} {{ 1.0 }} {{ 1e3 }} {{ 1e22 }} {{ 1.5e-7 }} {{ true }} {{ none }} {{ missing }} {{ 'é' }} {{ 1_000 }} {{ 0x1F }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 // 2 }} {{ -2 ** 2 }} {{ 1 + 2 * 3 - 4 }}
{{ 'a' + 'b' }} {{ 'a' ~ 1 ~ none }} {{ 'ab' * 3 }} {{ [1] + [2] }} {{ [0] * 3 }} {{ 'a' 'b' "c" }}
{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' != 'b' }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ not 1 == 2 }} {{ 1 in [1.0] }} {{ 'b' not in 'abc' }}
{{ 1 and 0 or 'x' }} {{ '' or none }} {{ not '' }} {{ 'yes' if d else 'no' }} {{ 'yes' if missing }}|
{{ l[0] }} {{ l[-1] }} {{ l[9] }} {{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[::2] }} {{ s[1:3] }} {{ s[-2:] }} {{ s[::-1] }} {{ l[5:1:-2] }} {{ l[:99] }}
{{ d.a }} {{ d['a'] }} {{ d.zz }} {{ d.get('a') }} {{ d.get('zz') }} {{ d.get('zz', 4) }} {{ d.items() | list }} {{ d.keys() | list }} {{ d.values() | list }}
{{ d }} {{ l }} {{ ('a',) }} {{ ('a', 1) }} {{ {'k': [none, true, 1.5]} }} {{ ["it's", 'q"q', "\\n\\t\\\\"] }} {{ [] }} {{ {} }}
{{ s.upper() }} {{ s.title() }} {{ s.capitalize() }} {{ 'ab cd'.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' x '.strip() }}|{{ 'xxay'.lstrip('x') }}|{{ 'ayx'.rstrip('xy') }}
{{ s.startswith('He') }} {{ s.startswith(('x', 'H')) }} {{ s.endswith('o') }} {{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ s.find('l') }} {{ s.count('l') }} {{ '-'.join(['a', 'b']) }} {{ 'a\\nb\\r\\nc'.splitlines() }}
{{ 'abc'.isalpha() }} {{ '12'.isdigit() }} {{ ''.isspace() }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.y'.removesuffix('.y') }} {{ 'AB'.lower() }} {{ 'aB'.islower() }}
{{ l | length }} {{ s | length }} {{ d | count }} {{ missing | length }} {{ l | first }} {{ l | last }} {{ [] | first }}| {{ l | sum }} {{ l | max }} {{ l | min }} {{ l | join('-') }} {{ l | reverse | list }} {{ s | reverse }}
{{ missing | default('x') }} {{ none | default('x') }} {{ '' | default('x', true) }} {{ missing | d }}| {{ '3' | int + 1 }} {{ 'x' | int }} {{ '3.7' | float }} {{ 3.7 | int }} {{ -3 | abs }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 2.1 | round(method='ceil') }}
{{ ' a b ' | trim }}| {{ 'a' | upper }} {{ 'aBC' | capitalize }} {{ 'hello world' | title }} {{ [1, 'a'] | string }} {{ '<a & b>' | e }} {{ '<a>' | safe }} {{ 'abc' | replace('b', 'X') }} {{ 'ab' | list }}
{{ d | tojson }} {{ l | tojson(indent=2) }} {{ {'b': 1, 'a': {'c': []}} | tojson(indent=1, sort_keys=true) }} {{ "é\\"\\u2028</script>" | tojson }} {{ 'é🙂' | tojson(ensure_ascii=true) }} {{ 1.0 | tojson }} {{ {1: none, true: 2} | tojson }}
{{ 'a\\nb\\n\\nc' | indent(2) }}|{{ 'a\\nb' | indent(2, first=true) }}|{{ 'a\\n\\nb' | indent('> ', blank=true) }}
{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort }} {{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [1, 2] | sort(reverse=true) }} {{ m | sort(attribute='n') | map(attribute='k') | list }} {{ [1, 1, 2, 'a', 'A'] | unique | list }} {{ {'b': 1, 'a': 2} | dictsort }}
{{ m | map(attribute='k') | join(',') }} {{ m | selectattr('n', 'gt', 1) | map(attribute='k') | list }} {{ m | rejectattr('n') | list | length }} {{ [1, 0, 2] | select | list }} {{ [1, 2, 3] | select('odd') | list }} {{ [1, 2] | reject('even') | list }} {{ ['a'] | map('upper') | list }} {{ m | map(attribute='zz', default='q') | list }} {{ m | selectattr('k', 'defined') | list | length }}
{{ 1 is defined }} {{ missing is defined }} {{ missing is undefined }} {{ none is none }} {{ 's' is string }} {{ 1 is number }} {{ true is number }} {{ 1 is integer }} {{ 1.0 is float }} {{ true is boolean }} {{ d is mapping }} {{ l is iterable }} {{ s is sequence }} {{ s is iterable }} {{ 1 is odd }} {{ 2 is even }} {{ 2.0 is even }} {{ (1,) * 2 }} {{ '(a b-C' | title }} {{ 4 is divisibleby 2 }} {{ 1 is true }} {{ true is true }} {{ false is false }} {{ 3 is in [3] }} {{ 'a' is eq 'a' }} {{ 1 is not none }} {{ 1 is lt 2 }} {{ range is callable }} {{ missing is none }}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}
{% for x in [] %}a{% else %}none{% endfor %} {% for a, b in d.items() %}{{ a }}={{ b }},{% endfor %} {% for c in s %}{{ c }}.{% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for x in missing %}x{% endfor %}
{% for x in range(6) if x is odd %}{{ loop.index }}:{{ x }} {% endfor %} {% for x in range(1, 10, 3) %}{{ x }}{% endfor %} {% for x in range(3, 0, -1) %}{{ x }}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for x in range(9) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }} {% if true %}{% set x = 9 %}{% endif %}{{ x }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set t = 1, %}{{ t }} {% set c %}x{{ a }}y{% endset %}{{ c }} {% set u | upper %}abc{% endset %}{{ u }}
{% set ns = namespace(n=0, l=[]) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.n }}{{ ns.l }}{{ ns.zz }}
{% macro f(a, b='d', c=none) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, c=2) }}{{ f(b=3) }}{{ f(1, 2, 3) | upper }}
{% macro outer(x) %}{% macro inner(y) %}<{{ y }}{{ x }}>{% endmacro %}{{ inner(1) }}{% endmacro %}{{ outer(2) }}
{% if false %}a{% elif l %}b{% else %}c{% endif %}{% if 0 %}{% endif %}{# comment #}{{ '{{' }}{% raw %}{{ x }}{% endraw %}
a   {%- if true -%}   b   {%- endif -%}   c {{- ' d ' -}} e {#- x -#} f {%+ if true +%} g {% endif %}
{{ (1, 2) == (1, 2) }} {{ [1] == (1,) }} {{ {'a': 1} == {'a': 1.0} }} {{ dict(a=1, b='x') }} {{ dict(d, z=1) | length }} {{ [1, 2].index(2) }} {{ l.0 }} {{ 'a' in d }} {{ 5 in l }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %B %b %A %a %d %j %p %I %y %-d %-m %%') }}
{{ ['x'] | join }} {{ [[1, 2], [3]] | sum(start=[]) }} {{ 'a-b_c'.title() }} {{ '%s' }} {{ "\\x41\\u00e9\\101\\q" }} {{ 'ß'.upper() }} {{ 'İ'.lower() | length }} {{ 'ΑΣ ΣΑ'.lower() }} {{ 'ﬁx' | upper }}
{{ missing.attr }}
{{ 1 + 'a' }}
{{ 'a' is odd }}
{{ missing | int }}
{{ [] + 1 }}
{{ raise_exception('stop here') }}
{{ l.append(1) }}
{{ d.update({'a': 2}) }}
{{ ''.__class__ }}
{{ missing() }}
{{ 1 // 0 }}
{{ none | length }}
{% set d.a = 1 %}
{% for a, b in [1] %}{% endfor %}
{{ 'a' < 1 }}
{{ 1 | nosuch }}
{{ 1 is nosuch }}
{% nosuch %}
{{ 1
{% if %}
{% endfor %}
{% for x in l %}
{{ 'abc }}
{{ ] }}
{% break %}
{% include 'x' %}
""".strip("\n").split("\n")
BLOCKS = ["  {% if true %}\n  x\n  {% endif %}\n\ny\n", "{% for x in l %}\n    {{ x }}\n{% endfor %}\nend", "a\n\n  {# c #}\nb", "{%- if true %}\n\n z {% endif -%}\n\n q\n\n",
          "\t{% set x = 1 %}\t\n{{ x }}\n", "{{ 1 }}\n{{ 2 }}\n", "line\r\nnext\r{% if true %}\r\nx{% endif %}", "x {% if true %}\n y{% endif %}", "{% raw %}\n {{ a }}\n{% endraw %}\nb",
          "  {%+ if true %}\nx{% endif %}", "{{ 1 -}}\n\n 2", "{% if true +%}\nx{% endif %}", "\n{% if true %}a{% endif %}\n", "  {% raw -%} x {%- endraw %} y"]
VARS = {"l": [1, 2, 3, 4], "s": "Hello", "d": {"a": 1, "b": "two", "c": [1, {"x": None}]}, "m": [{"k": "x", "n": 2}, {"k": "y", "n": 0}, {"k": "z", "n": 1}]}


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def render(template, **kw):
    try:
        return {"want": ctu._compile_jinja_template(template).render(**kw)}
    except Exception as e:
        return {"error": type(e).__name__}


def chat(template, messages, o, specials):
    # As render_jinja_template, but for the renaming of reasoning fields in transformers 5.
    return render(template, messages=messages, documents=None, tools=o.get("tools"), add_generation_prompt=o["add_generation_prompt"], **specials, **o.get("vars", {}))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--gguf", required=True)
    args = ap.parse_args()
    ctu.datetime = Clock
    specials = {"bos_token": "<s>", "eos_token": "</s>"}
    cases = [{"template": name, "chat": c, "options": o} | chat(source, CHATS[c], OPTIONS[o], specials)
             for name, source in TEMPLATES.items() for c in range(len(CHATS)) for o in range(len(OPTIONS))]
    from gguf import GGUFReader
    field = GGUFReader(args.gguf).fields["tokenizer.chat_template"]
    own = bytes(field.parts[field.data[0]]).decode()
    specials = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>"}
    smollm2 = [{"chat": c, "options": o} | chat(own, CHATS[c], OPTIONS[o], specials) for c in range(len(CHATS)) for o in range(2)]
    with open(os.path.join(HERE, "chats.json"), "w") as fh:
        json.dump({"now": NOW.isoformat() + "Z", "templates": TEMPLATES, "chats": CHATS, "options": OPTIONS, "cases": cases, "smollm2": smollm2}, fh, indent=0)
    snippets = [{"template": s} | render(s, **VARS) for s in SNIPPETS + BLOCKS]
    with open(os.path.join(HERE, "..", "jinja", "testdata", "snippets.json"), "w") as fh:
        json.dump({"now": NOW.isoformat() + "Z", "vars": VARS, "snippets": snippets}, fh, indent=1)


if __name__ == "__main__":
    main()
