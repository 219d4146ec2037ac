"""Keypoint files: COCO JSON with 17 points per person, as ``python -m evalkit export`` writes it.

Also what the rest of lifting needs of them: normalised views in the order of its 17 joints.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_models.skeleton import COCO17, from_coco17
from common.errors import UserError
from common.incoming import MAX_JSON_BYTES, Unfit, parse_json, read_bytes
from common.texts import shown
from distill.tasks.lift.cameras import TOP
from distill.tasks.lift.skeleton import NUM_JOINTS, from_18


@dataclass(frozen=True, eq=False)
class Found:
    """One person of a keypoint file.

    Attributes:
        source: file it comes from.
        image: id of the picture.
        number: id of the annotation.
        joints: float32 [17, 3] in the order of lifting, pixels; third value 1 where known.
        score: how sure the detector was.
    """

    source: Path
    image: int
    number: int
    joints: npt.NDArray[np.float32]
    score: float


def files_of(path: Path) -> list[Path]:
    """The file itself, or all JSON files of a folder by name.

    Raises:
        UserError: nothing of the kind.
    """
    if path.is_dir():
        files = sorted(path.glob("*.json"))
        if not files:
            raise UserError(f"{path} holds no .json file; name a folder with keypoint files")
        return files
    if not path.is_file():
        raise UserError(f"{path} does not exist; name a COCO keypoint file or a folder of them")
    return [path]


def read(path: Path) -> tuple[list[Found], int]:
    """The people of one file in its order, and how many were left out: those without hips.

    Raises:
        UserError: unreadable, another joint count or order, or values that are no numbers.
    """
    try:
        content = parse_json(read_bytes(path, MAX_JSON_BYTES).decode("utf-8"))
        annotations = content["annotations"]
        categories = content.get("categories", [])
        _check_names(path, categories)
        found = [_person(path, entry) for entry in annotations if "keypoints" in entry]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except UserError:
        raise
    except UnicodeDecodeError:
        raise UserError(
            f"{path} is no text; lifting starts from COCO keypoints (.json), not from a picture"
        ) from None
    except Unfit as error:
        raise UserError(f"{path} is no COCO keypoint file: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is no COCO keypoint file: {shown(error)}") from None
    usable = [person for person in found if person.joints[0, 2] > 0]
    return usable, len(found) - len(usable)


def _check_names(path: Path, categories: list[dict[str, Any]]) -> None:
    """Refuse another order of points, where the file says which it is."""
    for category in categories:
        names = tuple(category.get("keypoints", COCO17))
        if names != COCO17:
            raise UserError(
                f"{path}: expected COCO's 17 keypoints (nose, left_eye, ... right_ankle), found "
                f"{len(names)}: {', '.join(map(str, names[:4]))}...; reorder them"
            )


def _person(path: Path, entry: dict[str, Any]) -> Found:
    number = int(entry.get("id", 0))
    values = np.asarray(entry["keypoints"], np.float64)
    if values.shape != (3 * len(COCO17),):
        raise UserError(
            f"{path}, annotation {number}: expected {3 * len(COCO17)} keypoint values "
            f"(17 x [x, y, v]), found shape {list(values.shape)}"
        )
    if not np.isfinite(values).all():
        raise UserError(
            f"{path}, annotation {number}: the keypoints [17, 3] hold NaN or infinite values; "
            "mark missing points with v = 0"
        )
    joints = from_18(from_coco17(values.reshape(17, 3)))
    score = float(entry.get("score", 1.0))
    return Found(path, int(entry.get("image_id", 0)), number, joints, score)


def normalise_known(joints: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Normalised views float32 [..., 17, 2] of joints [..., 17, 3] with a known pelvis.

    As :func:`distill.tasks.lift.cameras.normalise`, but missing joints are not counted and come
    to lie on the pelvis.
    """
    given = np.asarray(joints, np.float64)
    known = given[..., 2:] > 0
    centred = np.where(known, given[..., :2] - given[..., :1, :2], 0.0)
    extent = np.maximum(np.abs(centred).max(axis=(-2, -1), keepdims=True), 1e-6)
    return (centred / extent * TOP).astype(np.float32)


def sequence(people: list[Found], window: int) -> npt.NDArray[np.float32]:
    """One person's views [n, window, 17, 2] around every pose, for a temporal network.

    The surest person of every picture is taken, pictures in the order of the file; at both ends
    the first and the last pose stand still.

    Raises:
        UserError: fewer pictures than the window has poses.
    """
    best: dict[tuple[Path, int], Found] = {}
    for person in people:
        key = (person.source, person.image)
        if key not in best or person.score > best[key].score:
            best[key] = person
    chosen = list(best.values())
    if len(chosen) < window:
        raise UserError(
            f"expected a sequence of at least [{window}, {NUM_JOINTS}, 2] (the temporal window), "
            f"found [{len(chosen)}, {NUM_JOINTS}, 2]; give more pictures or a network with a "
            "smaller window"
        )
    joints = np.stack([person.joints for person in chosen])
    before = (window - 1) // 2
    index = np.arange(len(chosen))[:, None] + np.arange(-before, window - before)[None, :]
    windows = joints[index.clip(0, len(chosen) - 1)]
    centred = np.where(windows[..., 2:] > 0, windows[..., :2] - windows[..., :1, :2], 0.0)
    extent = np.maximum(np.abs(centred).max(axis=(1, 2, 3), keepdims=True), 1e-6)
    return (centred / extent * TOP).astype(np.float32)
