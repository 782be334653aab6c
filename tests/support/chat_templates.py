"""Chat templates of fourteen families, written for these tests after the structure of each family's own.

They are not the families' files: each has its family's markers, its place for the BOS, its rules on roles, and what is
peculiar to it (a system message inside the first turn of the user, contents that are stripped, thoughts that are left out of
earlier turns, an end of text after the last turn). The markers are quoted as the models' cards give them.
"""

BOS, EOS = "<s>", "</s>"

TEMPLATES = {
    "chatml": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "smollm": (  # a system message of its own where none is given
        "{% for m in messages %}{% if loop.first and messages[0].role != 'system' %}"
        "{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}"
        "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama2": (  # the system message is inside the first turn of the user; contents are stripped
        "{% if messages[0].role == 'system' %}{% set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
        "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
        "{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
        "{% if loop.first %}{% set content = system + m.content %}{% else %}{% set content = m.content %}{% endif %}"
        "{% if m.role == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
        "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
    ),
    "llama3": (
        "{{ bos_token }}{% for m in messages %}"
        "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + '[/INST]' }}"
        "{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}"
        "{% else %}{{ '[SYSTEM_PROMPT] ' + m.content + '[/SYSTEM_PROMPT]' }}{% endif %}{% endfor %}"
    ),
    "gemma": (  # no system role; the assistant is called model
        "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        "{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + m.content | trim"
        " + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
    ),
    "phi3": (  # the end of the text after all turns, where nothing is asked for
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
    ),
    "zephyr": (
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token }}"
        "{% if loop.last and add_generation_prompt %}{{ '\n<|assistant|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    ),
    "vicuna": (  # one line, marks in plain words
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content + ' ' }}"
        "{% elif m.role == 'user' %}{{ 'USER: ' + m.content + ' ' }}{% else %}{{ 'ASSISTANT: ' + m.content + eos_token }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
    ),
    "command": (
        "{{ bos_token }}{% for m in messages %}{{ '<|START_OF_TURN_TOKEN|>' }}"
        "{{ {'system': '<|SYSTEM_TOKEN|>', 'user': '<|USER_TOKEN|>', 'assistant': '<|CHATBOT_TOKEN|>'}[m.role] }}"
        "{{ m.content.strip() + '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}"
    ),
    "falcon": (  # blank lines between turns and no token that ends one
        "{% for m in messages %}{% if not loop.first %}{{ '\n\n' }}{% endif %}"
        "{{ {'system': 'System', 'user': 'User', 'assistant': 'Assistant'}[m.role] + ': ' + m.content.strip() }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '\n\nAssistant:' }}{% endif %}"
    ),
    "qwen3": (  # thoughts are left out of earlier turns
        "{% for m in messages %}{% set content = m.content.split('</think>')[-1].lstrip('\n') "
        "if m.role == 'assistant' and not loop.last else m.content %}"
        "{{ '<|im_start|>' + m.role + '\n' + content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "deepseek": (  # whoever is asked begins to think; no marks between turns
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}"
        "{% elif m.role == 'user' %}{{ '<|User|>' + m.content }}{% else %}{{ '<|Assistant|>' + m.content + eos_token }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|Assistant|><think>\n' }}{% endif %}"
    ),
    "granite": (
        "{% for m in messages %}{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}"
    ),
}

# Of each family: whether it takes a system message, and what the assistant's two turns below are as the model would write them.
SYSTEM = {name: name not in ("gemma",) for name in TEMPLATES}
ASSISTANT = {
    "chatml": ["Hello!<|im_end|>", "中文。\n<|im_end|>"],
    "smollm": ["Hello!<|im_end|>", "中文。\n<|im_end|>"],
    "llama2": [" Hello! </s>", " 中文。 </s>"],
    "llama3": ["Hello!<|eot_id|>", "中文。<|eot_id|>"],
    "mistral": [" Hello!</s>", " 中文。\n</s>"],
    "gemma": ["Hello!<end_of_turn>", "中文。<end_of_turn>"],
    "phi3": ["Hello!<|end|>", "中文。\n<|end|>"],
    "zephyr": ["Hello!</s>", "中文。\n</s>"],
    "vicuna": [" Hello!</s>", " 中文。\n</s>"],
    "command": ["Hello!<|END_OF_TURN_TOKEN|>", "中文。<|END_OF_TURN_TOKEN|>"],
    "falcon": [" Hello!", " 中文。"],
    "qwen3": ["Hello!<|im_end|>", "中文。\n<|im_end|>"],
    "deepseek": ["Hello!</s>", "中文。\n</s>"],
    "granite": ["Hello!<|end_of_text|>", "中文。\n<|end_of_text|>"],
}
