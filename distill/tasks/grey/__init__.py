"""Points of one person in a grey picture of 64 x 64 pixels (docs/tasks-grey.md)."""

from __future__ import annotations

from pathlib import Path

from distill.engine.task import Kind, Task, Training, Verb

HERE = "distill.tasks.grey"
RECIPES = Path(__file__).parent / "recipes"

TASK = Task(
    name="grey",
    what="13 or 17 points of one person in a grey picture of 64 x 64",
    verbs={
        "teacher": Training(
            "train a detector",
            {
                "detector": Kind(
                    f"{HERE}.recipe:GreyTeacherRecipe",
                    f"{HERE}.train:train_teacher",
                    RECIPES / "teacher.yaml",
                )
            },
        ),
        "student": Training(
            "train a chip student, in real numbers or at its bit widths",
            {
                "student": Kind(
                    f"{HERE}.recipe:GreyRecipe",
                    f"{HERE}.train:train_student",
                    RECIPES / "grey.yaml",
                )
            },
        ),
        "quantize": Verb(
            "integers of a trained student, weights as bytes",
            "quantize.__main__:main",
            ("convert", "--compact"),
        ),
        "eval": Verb("accuracy of checkpoints: PCK and OKS", f"{HERE}.evaluate:main"),
        "sample": Verb("the chip's input of a picture", f"{HERE}.picture:sample"),
        "show": Verb("the points in the chip's answer", f"{HERE}.picture:show"),
        "export": Verb("an integer student as ONNX", "quantize.onnx_export:main"),
        "figures": Verb("size and speed of the networks", f"{HERE}.figures:main"),
    },
)
