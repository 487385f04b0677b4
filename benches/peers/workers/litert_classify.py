"""The smallest Python program that classifies one photo: litert_classify.py MODEL LABELS PHOTO.

For the comparison of start-up times: from exec to a printed label.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

model, labels, photo = sys.argv[1:]
interpreter = Interpreter(model, num_threads=2)
interpreter.allocate_tensors()
given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
height, width = given["shape"][1:3]
pixels = np.asarray(Image.open(photo).convert("RGB").resize((width, height)))
interpreter.set_tensor(given["index"], pixels[None].astype(np.float32) / 127.5 - 1)
interpreter.invoke()
print(open(labels).read().splitlines()[interpreter.get_tensor(wanted["index"]).argmax()])
