"""2D -> 3D lifting: a 3D pose from the points that a pose network has found in one picture."""

from __future__ import annotations

from pathlib import Path

from distill.engine.task import Kind, Task, Training, Verb

HERE = "distill.tasks.lift"
RECIPES = Path(__file__).parent / "recipes"

TASK = Task(
    name="lift",
    what="3D poses from 2D keypoints, 17 joints (docs/tasks-lift.md)",
    verbs={
        "teacher": Training(
            "train a teacher, kind=transformer or kind=vit",
            {
                "teacher": Kind(
                    f"{HERE}.recipe:LiftTeacherRecipe",
                    f"{HERE}.train:train_teacher",
                    RECIPES / "teacher.yaml",
                )
            },
        ),
        "student": Training(
            "train a chip student, in real numbers or at its bit widths",
            {
                "student": Kind(
                    f"{HERE}.recipe:LiftStudentRecipe",
                    f"{HERE}.train:train_student",
                    RECIPES / "lift.yaml",
                )
            },
        ),
        "quantize": Verb("integers of a trained student", "quantize.__main__:main", ("convert",)),
        "eval": Verb("accuracy, size and speed of checkpoints", f"{HERE}.evaluate:main"),
        "sample": Verb("the chip's input of one person's points", f"{HERE}.infer:sample"),
        "show": Verb("the pose in the chip's answer", f"{HERE}.infer:show"),
        "export": Verb("an integer student as ONNX", "quantize.onnx_export:main"),
        "compare": Verb("as eval, every joint side by side", f"{HERE}.evaluate:compare"),
        "infer": Verb("3D poses of keypoint files", f"{HERE}.infer:infer"),
    },
)
