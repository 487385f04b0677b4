"""usage: mediapipe_check.py MODEL PHOTO EXPECTED LABELS TOLERANCE: MediaPipe's classifier names photos by our file.

Everything it needs beyond the photo (normalisation, label file) it reads from the file's metadata, and
refuses files without. PHOTO: `[height, width, 3]` bytes, `.npy`, of the network's own size; EXPECTED: its
probabilities; LABELS: the names it must give the classes, one a line, from elsewhere than the file.
"""

import pathlib
import sys

import mediapipe as mp
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision


def main() -> int:
    model, photo, expected, labels, tolerance = sys.argv[1:]
    names = pathlib.Path(labels).read_text().splitlines()
    options = vision.ImageClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=model), max_results=len(names)
    )
    image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.load(photo))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        found = classifier.classify(image).classifications[0].categories
    wanted = np.load(expected)
    answer = np.zeros_like(wanted)
    for category in found:
        answer[category.index] = category.score
        if category.category_name != names[category.index]:
            print(f"class {category.index} is called {category.category_name!r}, not {names[category.index]!r}")
            return 1
    difference = float(np.abs(answer - wanted).max())
    best = answer.argmax() == wanted.argmax()
    other = "" if best else ", another is the likeliest"
    print(f"{len(found)} classes named, largest difference of probabilities {difference:.1e}{other}")
    return difference > float(tolerance) or not best or len({category.index for category in found}) != len(names)


if __name__ == "__main__":
    sys.exit(main())
