"""The output of `tokenviz` alone: the few commands that a new user needs, in order."""

STEPS = (
    (
        "a sentence, each word coloured by how predictable it was to a tiny model",
        'score -m glass-en -t "Alice was very tired."',
    ),
    ("the same by a real one", 'score -m smollm2-135m -t "Your own sentence."'),
    ("two models on one text: how alike, and where they differ most", "compare -m smollm2-135m -m gemma3-270m correlation"),
    ("the same as a page to explore in a browser", "report -m smollm2-135m -m gemma3-270m correlation"),
    ("every pair of three models on eight texts, kept as runs", "run single_token_predictions"),
    ("look at the runs", "ui"),
    ("carry figures, tables and numbers into a paper", "pull single_token_predictions --to paper"),
)


def first_steps() -> str:
    """Return the guide, with the sizes of the models that it names."""
    from tokenviz.models.catalogue import CATALOGUE
    from tokenviz.project import project_root

    guide = project_root() / "docs" / "getting-started.md"
    further = "\ndocs/getting-started.md goes through these steps." if guide.is_file() else ""
    sizes = ", ".join(f"{model.name} {model.download_bytes / 1e6:.0f} MB" for model in CATALOGUE.values() if not model.minutes)
    made = " and ".join(model.name for model in CATALOGUE.values() if model.minutes)
    steps = "\n\n".join(f"  {number}. {what}:\n     tokenviz {command}" for number, (what, command) in enumerate(STEPS, 1))
    return (
        f"tokenviz: see what causal language models predict, token by token.\n\n{steps}\n\n"
        f"Models are fetched once, when they are first named: {sizes}; {made} are trained here.\n"
        "A hub id (gpt2), a folder with safetensors or a .gguf file does as well.\n\n"
        "tokenviz --help lists all commands, tokenviz COMMAND --help its options, and tokenviz doctor says what is wrong."
        f"{further}"
    )
