"""Chat templates by name, for model files that have none. Each is how a family of models writes turns, and no more:
what such a model's own template says of tools, reasoning and dates is not here."""

from __future__ import annotations

from difflib import get_close_matches

from ggtui.core.errors import UsageError

# For those that have no turn of the system's: its words open the first question.
_OPENING = r"""
{%- set opening = messages[0].content | trim if messages and messages[0].role == 'system' else '' -%}
{%- set turns = messages[1:] if messages and messages[0].role == 'system' else messages -%}
"""

NAMED = {
    "alpaca": _OPENING
    + r"""
{{- opening or 'Below is an instruction that describes a task. Write a response that appropriately completes the '
    ~ 'request.' }}
{%- for turn in turns %}
{{- '\n\n### ' ~ ('Response' if turn.role == 'assistant' else 'Instruction') ~ ':\n' ~ turn.content | trim }}
{{- eos_token if turn.role == 'assistant' else '' }}
{%- endfor %}
{{- '\n\n### Response:\n' if add_generation_prompt else '' }}""",
    "chatml": r"""
{%- for message in messages %}
{{- '<|im_start|>' ~ message.role ~ '\n' ~ message.content ~ '<|im_end|>\n' }}
{%- endfor %}
{{- '<|im_start|>assistant\n' if add_generation_prompt else '' }}""",
    "gemma": _OPENING
    + r"""
{{- bos_token }}
{%- for turn in turns %}
{{- '<start_of_turn>' ~ ('model' if turn.role == 'assistant' else 'user') ~ '\n' }}
{{- opening ~ '\n\n' if loop.first and opening else '' }}
{{- turn.content | trim ~ '<end_of_turn>\n' }}
{%- endfor %}
{{- '<start_of_turn>model\n' if add_generation_prompt else '' }}""",
    "llama2": _OPENING
    + r"""
{%- for turn in turns %}
{%- if turn.role == 'assistant' %}
{{- ' ' ~ turn.content | trim ~ ' ' ~ eos_token }}
{%- else %}
{{- bos_token ~ '[INST] ' }}
{{- '<<SYS>>\n' ~ opening ~ '\n<</SYS>>\n\n' if loop.first and opening else '' }}
{{- turn.content | trim ~ ' [/INST]' }}
{%- endif %}
{%- endfor %}""",
    "llama3": r"""
{{- bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\n\n' ~ message.content | trim ~ '<|eot_id|>' }}
{%- endfor %}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' if add_generation_prompt else '' }}""",
    "mistral": _OPENING
    + r"""
{{- bos_token }}
{%- for turn in turns %}
{%- if turn.role == 'assistant' %}
{{- ' ' ~ turn.content | trim ~ eos_token }}
{%- else %}
{{- '[INST] ' ~ (opening ~ '\n\n' if loop.first and opening else '') ~ turn.content | trim ~ ' [/INST]' }}
{%- endif %}
{%- endfor %}""",
    "phi3": r"""
{{- bos_token }}
{%- for message in messages %}
{{- '<|' ~ message.role ~ '|>\n' ~ message.content | trim ~ '<|end|>\n' }}
{%- endfor %}
{{- '<|assistant|>\n' if add_generation_prompt else '' }}""",
    "vicuna": _OPENING
    + r"""
{{- bos_token }}
{{- opening or 'A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, '
    ~ "detailed, and polite answers to the user's questions." }}
{%- for turn in turns %}
{{- (' ASSISTANT: ' if turn.role == 'assistant' else ' USER: ') ~ turn.content | trim }}
{{- eos_token if turn.role == 'assistant' else '' }}
{%- endfor %}
{{- ' ASSISTANT:' if add_generation_prompt else '' }}""",
    "zephyr": r"""
{%- for message in messages %}
{{- '<|' ~ message.role ~ '|>\n' ~ message.content ~ eos_token ~ '\n' }}
{%- endfor %}
{{- '<|assistant|>\n' if add_generation_prompt else '' }}""",
}


def named(name: str) -> str:
    """The text of a template. Raises UsageError, with the names most like it, for one that is not known."""
    if name not in NAMED:
        meant = get_close_matches(name.lower(), NAMED, 3, 0.5) or sorted(NAMED)
        raise UsageError(f"no chat template is called {name!r}; there is {', '.join(meant)}")
    return NAMED[name]
