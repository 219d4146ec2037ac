"""Who is in a picture? Three lines that matter."""

from pathlib import Path

import pose78

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "pose.jpg"

model = pose78.load("native")
for number, person in enumerate(model.predict(PICTURE), 1):
    print(f"person {number}, score {person.score:.2f}")
    for name, point in person.points.items():
        print(f"  {name:<12} {point.x:6.1f} {point.y:6.1f}   {point.score:.2f}")
