"""Makes the small HDF5 and Keras files of this folder: h5py 3.16, Keras 3.15, NumPy 2.4.

    KERAS_BACKEND=numpy python make.py
"""

import h5py
import keras
import numpy as np

values = np.arange(35, dtype="f4").reshape(7, 5)

# Every layout, filter and type that is read.
with h5py.File("layouts.h5", "w") as f:
    f.create_dataset(
        "chunked/gzip", data=values, chunks=(3, 2), compression="gzip", shuffle=True, fletcher32=True
    )
    f.create_dataset("chunked/plain", data=values, chunks=(2, 5))
    # More chunks than one node of the tree holds.
    f.create_dataset("chunked/many", data=np.arange(1500, dtype="i2"), chunks=(10,))
    f.create_dataset("big_endian", data=values.astype(">f8"))
    f.create_dataset("half", data=values.astype("f2"))
    f.create_dataset("bools", data=values > 3)
    f.create_dataset("scalar", data=np.int64(-5))
    f.create_dataset("strings", data=["a", "bcd", ""], dtype=h5py.string_dtype())
    f.create_dataset("fixed", data=np.array([b"ab", b"c"]))
    f.create_dataset("empty", data=np.zeros((0, 3), "f4"))
    f.attrs["text"] = "hello"
    f.attrs["list"] = np.array([b"x", b"yy"])
    f.attrs["number"] = np.float32(1.5)
    f.attrs["strings"] = ["p", "qq"]
    f["soft"] = h5py.SoftLink("/half")
    # More names than one node of the tree holds.
    for i in range(300):
        f[f"links/l{i:03}"] = f["scalar"]

# Object headers of version 2 and links as messages.
with h5py.File("links.h5", "w", libver=("v108", "v110")) as f:
    f.create_dataset("a", data=values)
    f.attrs["text"] = "hello"
    f.create_group("x/y").create_dataset("b", data=values)

# A group that contains its parent.
with h5py.File("cycle.h5", "w") as f:
    f.create_group("a")["loop"] = f["/"]

# Chunk indexes of HDF5 1.10, which are refused.
with h5py.File("latest.h5", "w", libver="latest") as f:
    f.create_dataset("a", data=values, chunks=(3, 2))

# One network in Keras's three kinds of file.
keras.utils.set_random_seed(1)
model = keras.Sequential(
    [
        keras.Input((4, 4, 3)),
        keras.layers.Conv2D(2, 3, name="conv1"),
        keras.layers.BatchNormalization(name="conv1_bn"),
        keras.layers.ReLU(6.0, name="conv1_relu"),
        keras.layers.DepthwiseConv2D(1, use_bias=False, name="conv_dw_1"),
        keras.layers.Conv2D(4, 1, use_bias=False, name="conv_pw_1"),
    ]
)
model.save("tiny.keras")
model.save("tiny.h5")
model.save_weights("tiny.weights.h5")

# Layers that are models, two deep, with layers of one name in and out of them; what `preprocess_input`
# writes, and what only training does.
inputs = keras.Input((4, 4, 3), name="photos")
x = keras.layers.Conv2D(3, 1, use_bias=False, name="mixed")(inputs)
x = keras.layers.DepthwiseConv2D(1, use_bias=False, name="weighed")(x)
base = keras.Model(inputs, x, name="base")
body = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.RandomFlip(name="flip"), base], name="body")
inputs = keras.Input((4, 4, 3), name="images")
x = body(inputs / 127.5 - 1.0)
x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
x = keras.layers.BatchNormalization(name="norm")(x)
outputs = keras.layers.Dense(2, activation="sigmoid", name="mixed")(keras.layers.Dropout(0.2)(x))
model = keras.Model(inputs, outputs)
base.get_layer("mixed").set_weights([2 * np.eye(3).reshape(1, 1, 3, 3)])
base.get_layer("weighed").set_weights([np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1)])
variance = np.array([1.0, 4.0, 9.0]) - 1e-3
norm = [[1.0, 1.0, 1.0], [0.5, 0.0, -0.5], [0.0, 0.25, 0.5], variance]
model.get_layer("norm").set_weights([np.array(values) for values in norm])
head = [[[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]], [0.25, -0.25]]
model.get_layer("mixed").set_weights([np.array(values) for values in head])
model.save("nested.keras")
model.save("nested.h5")
