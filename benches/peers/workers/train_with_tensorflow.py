"""TensorFlow: Keras' MobileNet V1 0.25/192 in training mode, a step of SGD with momentum as one
`tf.function`. Variants: `graph`, and `xla`, which compiles that function."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from steps import CLASSES, LEARNING_RATE, MOMENTUM, SIZE, WEIGHT_DECAY, serve


def load(batch: int, threads: int, variant: str):
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.keras.utils.set_random_seed(1)
    model = tf.keras.applications.MobileNet(
        input_shape=(SIZE, SIZE, 3), alpha=0.25, classes=CLASSES, weights=None, classifier_activation=None
    )
    kernels = [v for v in model.trainable_variables if "kernel" in v.name and "depthwise" not in v.name]
    images = tf.Variable(tf.random.uniform([batch, SIZE, SIZE, 3]), trainable=False)
    labels = tf.range(batch) % CLASSES
    update = tf.keras.optimizers.SGD(LEARNING_RATE, MOMENTUM)

    @tf.function(jit_compile=variant == "xla")
    def step():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
            loss += WEIGHT_DECAY * tf.add_n([tf.nn.l2_loss(kernel) for kernel in kernels])
        variables = model.trainable_variables
        update.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    parameters = sum(int(tf.size(v)) for v in model.trainable_variables)
    return tf.__version__, parameters, lambda: step().numpy()


serve(load)
