"""Everything a run needs, made once and cached: environments, models, images, photos, programs."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SEED = 1

# Members of the family: depth multiplier and size -> the archive with real weights, where there is one.
MEMBERS = {
    ("0.25", 192): "modules/mobilenet_v1_025_192/classification/1.tar.gz",
    ("0.25", 128): "modules/mobilenet_v1_025_128/classification/1.tar.gz",
    ("0.5", 160): None,
    ("0.75", 192): None,
    ("1.0", 224): None,
}
# A member of the family in int8, from TensorFlow's converter.
INT8 = "formats/mobilenet_v1_025_192/mobilenet_v1_0.25_192_int8.tflite"
# Photos for the pipeline from files: natural, of ordinary size; 107 KB on average.
PHOTO_BYTES = range(30_000, 200_000)
PHOTO_COUNT = 300


class Setup:
    """Paths of what has been made."""

    def __init__(self, shared: pathlib.Path, mobilenet: pathlib.Path) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        self.folder = pathlib.Path(base) / "mobilenet-ci" / "peers"
        self.shared, self.mobilenet = shared, mobilenet
        self.python = pathlib.Path(sys.executable)
        self.rust = self.folder / "rust" / "release"
        self.labels = shared / "labels" / "imagenet_1001.txt"

    def make(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tensorflow = environment(ROOT / "interop" / "requirements.txt")
        self.tfdata = environment(HERE / "requirements-tfdata.txt")
        build = ["cargo", "build", "--release", "--quiet", "--locked", "--manifest-path", HERE / "rust" / "Cargo.toml"]
        subprocess.run([*build, "--target-dir", self.folder / "rust"], check=True)
        for (multiplier, size), archive in MEMBERS.items():
            self._make_model(multiplier, size, archive)
        self._make_int8()

    def _make_int8(self) -> None:
        folder = self.folder / "models" / "int8_0.25_192"
        if (folder / "complete").exists() or not (self.shared / INT8).exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.shared / INT8, folder / "model.tflite")
        self._recipe(self.python, "make_int8", folder)
        (folder / "complete").touch()

    def int8(self) -> pathlib.Path | None:
        """The folder of 0.25/192 in int8, if the reference data has it."""
        folder = self.folder / "models" / "int8_0.25_192"
        return folder if (folder / "complete").exists() else None

    def _make_model(self, multiplier: str, size: int, archive: str | None) -> None:
        folder = self.model(multiplier, size)
        if (folder / "complete").exists():
            return
        print(f"making the model {multiplier}/{size}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        real = [self.shared / archive] if archive and (self.shared / archive).exists() else []
        self._recipe(self.tensorflow, "make_module", folder, multiplier, size, *real)
        self._recipe(self.python, "make_onnx", folder, multiplier, size)
        self._recipe(self.python, "make_ncnn", folder, multiplier, size)
        (folder / "complete").touch()

    def _recipe(self, python: pathlib.Path, name: str, *arguments) -> None:
        command = [python, HERE / "models" / f"{name}.py", *map(str, arguments)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{name}.py failed:\n{done.stderr}")

    def model(self, multiplier: str, size: int) -> pathlib.Path:
        return self.folder / "models" / f"{multiplier}_{size}"

    def images(self, size: int, count: int) -> tuple[pathlib.Path, pathlib.Path]:
        """Files of `[count, size, size, 3]` float32: in [0, 1] for modules, in [-1, 1] for the others."""
        files = tuple(self.folder / f"images_{size}_{count}_{kind}.npy" for kind in ("unit", "signed"))
        photos = [np.asarray(photo.resize((size, size))) for photo in self._natural()]
        if not photos:
            photos = np.random.default_rng(SEED).integers(0, 256, (8, size, size, 3), dtype=np.uint8)
        unit = np.stack([photos[i % len(photos)] for i in range(count)]).astype(np.float32) / 255
        for file, values in zip(files, (unit, unit * 2 - 1)):
            np.save(file, values)
        return files

    def photos(self) -> pathlib.Path | None:
        """A folder of PHOTO_COUNT files, copies of the natural photos in turn."""
        originals = self._natural_files()
        folder = self.folder / "photos"
        if not originals:
            return None
        folder.mkdir(exist_ok=True)
        for i in range(PHOTO_COUNT):
            if not (copy := folder / f"{i:04}.jpg").exists():
                shutil.copy(originals[i % len(originals)], copy)
        return folder

    def _natural_files(self) -> list[pathlib.Path]:
        files = sorted((self.shared / "images").glob("n*.JPEG"))
        return [file for file in files if file.stat().st_size in PHOTO_BYTES]

    def _natural(self) -> list[Image.Image]:
        return [Image.open(file).convert("RGB") for file in self._natural_files()]


def environment(requirements: pathlib.Path) -> pathlib.Path:
    make = [sys.executable, ROOT / "scripts" / "venv.py", requirements]
    return pathlib.Path(subprocess.run(make, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
