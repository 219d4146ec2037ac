"""Several people's poses in a colour picture: docs/training.md."""

from __future__ import annotations

from pathlib import Path

from distill.engine.task import Kind, Task, Training, Verb

HERE = "distill.tasks.pose"
TRANSFORMER = f"{HERE}.teachers.transformer"
RECIPES = Path(__file__).parent / "recipes"

TASK = Task(
    name="pose",
    what="poses of several people in a colour picture, 18 points (the default)",
    verbs={
        "teacher": Training(
            "train a teacher, kind=openpose (crops), kind=pictures or kind=transformer",
            {
                "openpose": Kind(
                    f"{HERE}.recipe:TeacherRecipe",
                    f"{HERE}.train:train_teacher",
                    RECIPES / "teacher.yaml",
                ),
                "pictures": Kind(
                    f"{HERE}.recipe:PictureTeacherRecipe",
                    f"{HERE}.train:train_teacher_on_pictures",
                    RECIPES / "teacher-pictures.yaml",
                ),
                "transformer": Kind(
                    f"{TRANSFORMER}.recipe:LinearRecipe",
                    f"{TRANSFORMER}.train:train_teacher",
                    RECIPES / "transformer.yaml",
                ),
            },
        ),
        "student": Training(
            "train a chip student, kind=pictures (people and nobody) or kind=crops",
            {
                "pictures": Kind(
                    f"{HERE}.recipe:PictureRecipe",
                    f"{HERE}.train:train_on_pictures",
                    RECIPES / "native.yaml",
                ),
                "crops": Kind(
                    f"{HERE}.recipe:Recipe",
                    f"{HERE}.train:train_student",
                    RECIPES / "crops.yaml",
                ),
            },
        ),
        "compare": Training(
            "train a student without and with teachers, over several seeds; kind=crops or pictures",
            {
                "crops": Kind(f"{HERE}.compare_recipe:CompareRecipe", f"{HERE}.compare:report"),
                "pictures": Kind(
                    f"{HERE}.compare_recipe:ComparePicturesRecipe",
                    f"{HERE}.compare_pictures:report",
                ),
            },
        ),
        "quantize": Verb("integers of a trained student", "quantize.__main__:main", ("convert",)),
        "average": Verb("the mean of several students", "distill.engine.average:main"),
        "eval": Verb("accuracy of checkpoints: PCK and OKS", f"{HERE}.commands:evaluate"),
        "thresholds": Verb("who counts as a person, fitted", f"{HERE}.evaluation.fit:main"),
        "accuracy": Verb("a page of what networks see", f"{HERE}.evaluation.accuracy:main"),
        "sample": Verb("the chip's input of a picture", "ai8x_models.preprocess:main"),
        "show": Verb("people in the chip's answer", "ai8x_models.show:main"),
        "export": Verb("any checkpoint as ONNX", f"{HERE}.commands:export"),
        "crops": Verb("evaluation crops as pictures", f"{HERE}.commands:crops"),
        "kit": Verb("what the firmware made of the crops", f"{HERE}.commands:kit"),
        "label": Verb(
            "labels for a folder of pictures, by pretrained networks",
            "distill.people.label.options:label",
        ),
        "unstretch": Verb("photographs out of squares", f"{HERE}.unstretch:main"),
        "merge": Verb("shards of labels as one file", "distill.people.label.options:merge"),
        "curves": Verb("how runs went, from their logs", f"{HERE}.commands:curves"),
        "plot": Verb("accuracy against cycles, and the curves", f"{HERE}.commands:plot"),
        "figures": Verb("size and speed of the transformer", f"{TRANSFORMER}.figures:main"),
        "growth": Verb("growth of the transformer's time", f"{TRANSFORMER}.growth:main"),
    },
)
