"""Photos to labels with tf.data and LiteRT: tf.data decodes and resizes ahead on its own threads, and
as many threads as cores infer."""

import concurrent.futures
import importlib.metadata

import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from protocol import serve_folder


def load(folder, threads, paths):
    runtimes = [Interpreter(str(folder / "model.tflite"), num_threads=1) for _ in range(threads)]
    for runtime in runtimes:
        runtime.allocate_tensors()
    size = runtimes[0].get_input_details()[0]["shape"][1:3]

    def prepare(index, path):
        photo = tf.image.decode_jpeg(tf.io.read_file(path), 3, dct_method="INTEGER_ACCURATE")
        return index, tf.image.resize(photo, size)[None] * (2 / 255) - 1

    options = tf.data.Options()
    options.deterministic = False
    options.threading.private_threadpool_size = threads
    photos = tf.data.Dataset.from_tensor_slices([str(path) for path in paths]).enumerate()
    photos = photos.map(prepare, num_parallel_calls=threads).prefetch(2 * threads).with_options(options)

    def infer(runtime, ready, labels):
        given, wanted = runtime.get_input_details()[0], runtime.get_output_details()[0]
        for index, images in ready:
            runtime.set_tensor(given["index"], images)
            runtime.invoke()
            labels[index] = int(runtime.get_tensor(wanted["index"]).argmax())

    def call():
        ready, labels = photos.as_numpy_iterator(), [0] * len(paths)
        list(pool.map(lambda runtime: infer(runtime, ready, labels), runtimes))
        return labels

    pool = concurrent.futures.ThreadPoolExecutor(threads)
    return f"{tf.__version__} + {importlib.metadata.version('ai-edge-litert')}", call


serve_folder(load)
