"""What Transformers makes of an exported model, by whichever version is imported: hugging_face_test.py asks version 5,
and version 4 in a process of its own, `exported_model.py REQUEST.json ANSWER.npz`."""
import json
import sys

import numpy
import torch
import transformers

transformers.utils.logging.disable_progress_bar()


def read(folder, text, length, prompt, new_tokens):
    """The ids of `text`, at most `length`, and their logits; what follows the prompt greedily, with it and as text."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text)["input_ids"][:length]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    inputs = tokenizer(prompt, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=new_tokens, do_sample=False)[0]
    return {"bos": tokenizer.bos_token_id, "ids": numpy.array(ids), "logits": logits.numpy(),
            "new": len(made) - inputs["input_ids"].shape[1], "text": tokenizer.decode(made, skip_special_tokens=True)}


def main(request, answer):
    with open(request, encoding="utf-8") as file:
        models = json.load(file)
    arrays = {"version": transformers.__version__}
    for model in models:
        arrays |= {f"{model['folder']}:{key}": value for key, value in read(**model).items()}
    numpy.savez(answer, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
