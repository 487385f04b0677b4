"""TensorFlow's top-1 of the 200 sample images, for tests/samples.rs.

    python samples200.py SHARED > samples200.csv

SHARED holds modules/ and data/imagenet-samples-200.tar. Needs tensorflow 2.15 and tensorflow_hub
0.14. Decoding is accurate (islow); `plain` is tf.image.resize of the whole image, `slim_eval` the
central crop of 0.875 and TF1's resize_bilinear. Columns: file, then the class of 0..1000 for each.
"""

import os
import sys
import tarfile
import tempfile

import tensorflow as tf2
import tensorflow.compat.v1 as tf
import tensorflow_hub as hub

shared = sys.argv[1]
module_path = f"{shared}/modules/mobilenet_v1_025_192/classification/1.tar.gz"

with tempfile.TemporaryDirectory() as folder, tf.Graph().as_default():
    with tarfile.open(module_path) as archive:
        archive.extractall(folder)
    encoded = tf.placeholder(tf.string)
    pixels = tf.image.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    image = tf.image.convert_image_dtype(pixels, tf.float32)
    plain = tf2.image.resize(image[None], [192, 192], antialias=False)
    cropped = tf.image.central_crop(image, 0.875)[None]
    slim_eval = tf.image.resize_bilinear(cropped, [192, 192], align_corners=False)
    module = hub.Module(folder)
    classes = [tf.argmax(module(x), axis=1)[0] for x in (plain, slim_eval)]
    print("file,plain,slim_eval")
    with tf.Session() as session, tarfile.open(f"{shared}/data/imagenet-samples-200.tar") as samples:
        session.run(tf.global_variables_initializer())
        for member in sorted(samples.getmembers(), key=lambda m: m.name):
            if member.isfile():
                data = samples.extractfile(member).read()
                found = session.run(classes, {encoded: data})
                print(os.path.basename(member.name), *found, sep=",")
